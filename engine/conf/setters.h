/* The setters named in directives.def. */
#ifndef ENGINE_CONF_SETTERS_H
#define ENGINE_CONF_SETTERS_H

#include "engine/conf/load.h"

/* parse.c */
directive_setter parse_include;
/* blocks.c */
directive_setter set_events, set_http, set_server, set_location, set_types, set_server_name;
/* processes.c */
directive_setter set_user, set_path, set_env, set_worker_processes, set_affinity, set_priority;
directive_setter set_backoff, set_handover, set_master_process, set_use;
/* listen.c */
directive_setter set_listen;
/* answers.c */
directive_setter set_internal, set_root, set_alias, set_index, set_add_header;
directive_setter set_text, set_status, set_stub_status, set_test_handler, set_keepalive_timeout;
directive_setter set_open_file_cache;
directive_setter set_keepalive_disable, set_large_buffers;
/* tls.c */
directive_setter set_tls_certificate, set_tls_key, set_tls_file, set_tls_text, set_tls_protocols;
directive_setter set_tls_cache, set_tls_ticket_key;
/* expires.c */
directive_setter set_expires;
/* limits.c */
directive_setter set_limit_req_zone, set_limit_conn_zone, set_limit_req, set_limit_conn;
directive_setter set_limit_rate;
/* access.c */
directive_setter set_access, set_limit_except, set_real_ip_from, set_real_ip_header;
/* detours.c */
directive_setter set_try_files, set_error_page;
/* map.c */
directive_setter set_map;
/* rewrite.c */
directive_setter set_set, set_if, set_rewrite, set_break, set_return;
/* upstream.c */
directive_setter set_upstream, set_balance, set_hash, set_random, set_upstream_zone;
/* proxy.c */
directive_setter set_proxy_pass, set_proxy_header, set_proxy_names, set_proxy_ignore;
directive_setter set_proxy_text, set_proxy_buffers, set_proxy_next, set_proxy_redirect;
directive_setter set_temp_path;
/* logs.c */
directive_setter set_error_log, set_log_format, set_access_log;

#endif
