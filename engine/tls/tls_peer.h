/* What a connection has agreed on and who its client is: for variables, and for the decision
 * whether a request may be answered. */
#ifndef ENGINE_TLS_TLS_PEER_H
#define ENGINE_TLS_TLS_PEER_H

#include "engine/tls/tls.h"

/* F(symbol, meaning): as text. */
#define TLS_FACTS(F)                                                                               \
    F(protocol, "the protocol")                                                                    \
    F(cipher, "the cipher")                                                                        \
    F(ciphers, "the ciphers the client offered")                                                   \
    F(server_name, "the name the client asked for")                                                \
    F(session_id, "the session's id, in hexadecimal")                                              \
    F(session_reused, "r if the session was resumed, else .")                                      \
    F(client_verify, "NONE, SUCCESS, or FAILED: and why")                                          \
    F(client_raw_cert, "the certificate in PEM")                                                   \
    F(client_cert, "the same with a tab before each line but the first")                           \
    F(client_escaped_cert, "the same as in a URL")                                                 \
    F(client_s_dn, "subject, RFC 2253")                                                            \
    F(client_i_dn, "issuer, RFC 2253")                                                             \
    F(client_fingerprint, "SHA-1, in hexadecimal")                                                 \
    F(client_serial, "serial number, in hexadecimal")                                              \
    F(client_v_start, "valid from")                                                                \
    F(client_v_end, "valid until")                                                                 \
    F(client_v_remain, "days until then, 0 if it is over")

enum tls_fact {
#define F(symbol, meaning) TLS_FACT_##symbol,
    TLS_FACTS(F)
#undef F
        TLS_FACT_COUNT
};

/* free() it; NULL: there is no such thing on this connection, or no memory. */
char *tls_fact(const struct tls *tls, enum tls_fact fact);
/* The name the client asked for, NULL none; stays in place as long as the connection. */
const char *tls_server_name(const struct tls *tls);

enum tls_client {
    TLS_CLIENT_NONE,    /* it sent no certificate */
    TLS_CLIENT_GOOD,    /* verified */
    TLS_CLIENT_UNKNOWN, /* nothing wrong but that nobody known has signed it */
    TLS_CLIENT_BAD,
};
enum tls_client tls_client(const struct tls *tls);
const char *tls_client_reason(const struct tls *tls); /* of UNKNOWN and BAD */
/* The session is not to be resumed: its client was refused. */
void tls_forget_session(struct tls *tls);

#endif
