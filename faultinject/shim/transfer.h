/* What a fault does to bytes that are moved: fail, move fewer, spoil one. */
#ifndef FAULTINJECT_SHIM_TRANSFER_H
#define FAULTINJECT_SHIM_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "faultinject/fault.h"

enum { TRANSFER_COPY_MAX = 4096, TRANSFER_PIECES_MAX = 64 };

/* False: the call fails, errno is set. Else *len is what may be moved. */
bool transfer_cut(const struct fault_hit *hit, size_t *len);
/* The same for pieces; if they must be fewer they are made in `cut`. */
bool transfer_cut_pieces(const struct fault_hit *hit, struct iovec cut[TRANSFER_PIECES_MAX],
                         const struct iovec **iov, int *count);
/* Flips a bit of what has arrived. */
void transfer_spoil(void *buf, ssize_t got, int64_t where);
void transfer_spoil_pieces(const struct iovec *iov, int count, ssize_t got, int64_t where);
/* Flips a bit of what leaves: in a copy of its first bytes, which is then all that leaves. */
const void *transfer_spoilt_copy(unsigned char copy[TRANSFER_COPY_MAX], const void *buf,
                                 size_t *len, int64_t where);
void transfer_spoilt_pieces(unsigned char copy[TRANSFER_COPY_MAX], struct iovec *piece,
                            const struct iovec **iov, int *count, int64_t where);

#endif
