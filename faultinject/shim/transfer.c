/* What a fault does to bytes that are moved. */
#include "faultinject/shim/transfer.h"

#include <errno.h>
#include <string.h>

static bool fails(const struct fault_hit *hit)
{
    if (hit->kind == FAULT_ERRNO)
        errno = (int)hit->value;
    return hit->kind == FAULT_ERRNO;
}

bool transfer_cut(const struct fault_hit *hit, size_t *len)
{
    if (hit->kind == FAULT_SHORT && (uint64_t)hit->value < *len)
        *len = (size_t)hit->value;
    return !fails(hit);
}

bool transfer_cut_pieces(const struct fault_hit *hit, struct iovec cut[TRANSFER_PIECES_MAX],
                         const struct iovec **iov, int *count)
{
    if (hit->kind != FAULT_SHORT)
        return !fails(hit);
    size_t left = (size_t)hit->value;
    int n = 0;
    for (; n < *count && n < TRANSFER_PIECES_MAX && left > 0; n++) {
        cut[n] = (*iov)[n];
        if (cut[n].iov_len > left)
            cut[n].iov_len = left;
        left -= cut[n].iov_len;
    }
    *iov = cut;
    *count = n;
    return true;
}

void transfer_spoil(void *buf, ssize_t got, int64_t where)
{
    if (got > 0)
        ((unsigned char *)buf)[(uint64_t)where / 8 % (uint64_t)got] ^=
            (unsigned char)(1u << (where % 8));
}

/* In the first piece, which has what came first. */
void transfer_spoil_pieces(const struct iovec *iov, int count, ssize_t got, int64_t where)
{
    for (int i = 0; i < count && got > 0; i++)
        if (iov[i].iov_len > 0) {
            size_t first = iov[i].iov_len < (size_t)got ? iov[i].iov_len : (size_t)got;
            transfer_spoil(iov[i].iov_base, (ssize_t)first, where);
            return;
        }
}

const void *transfer_spoilt_copy(unsigned char copy[TRANSFER_COPY_MAX], const void *buf,
                                 size_t *len, int64_t where)
{
    if (*len > TRANSFER_COPY_MAX)
        *len = TRANSFER_COPY_MAX;
    memcpy(copy, buf, *len);
    transfer_spoil(copy, (ssize_t)*len, where);
    return copy;
}

void transfer_spoilt_pieces(unsigned char copy[TRANSFER_COPY_MAX], struct iovec *piece,
                            const struct iovec **iov, int *count, int64_t where)
{
    size_t len = 0;
    for (int i = 0; i < *count && len < TRANSFER_COPY_MAX; i++) {
        size_t room = TRANSFER_COPY_MAX - len, part = (*iov)[i].iov_len;
        if (part > room)
            part = room;
        memcpy(copy + len, (*iov)[i].iov_base, part);
        len += part;
    }
    transfer_spoil(copy, (ssize_t)len, where);
    *piece = (struct iovec){.iov_base = copy, .iov_len = len};
    *iov = piece;
    *count = 1;
}
