/* Bad arguments: each returns a status, and none crashes. */
#include "common.h"

#include <fcntl.h>

#ifdef _WIN32
#define WITHOUT_FOLDER WSAEAFNOSUPPORT /* Wine 8 has no Unix sockets */
#else
#define WITHOUT_FOLDER ENOENT
#endif

/* A route with a bad setting, and none. */
static void route_objects(transom_server *server)
{
    transom_route *route = transom_route_new("GET", "/route", say_hello, NULL, NULL);
    transom_error *why = NULL;
    CHECK_STATUS(transom_route_set_timeout(route, 0), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_route_set_timeout(route, -2), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_add(server, route, &why), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(why), "timeout of a route is 1 to") != NULL);
    transom_error_free(why);
    transom_route_free(transom_route_new(NULL, NULL, NULL, NULL, NULL));
    transom_route_free(NULL);
    CHECK_STATUS(transom_route_set_timeout(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_route_set_body_limit(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_route_set_inline(NULL, true), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add(server, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_fallback(server, NULL, NULL), TRANSOM_NULL_ARGUMENT);
}

static void on_exchange(void *user_data UNUSED, const transom_exchange *exchange UNUSED)
{
}

static void own_answer(void *user_data UNUSED, const transom_own_answer *answer UNUSED, transom_response *response UNUSED)
{
}

static bool go_on(void *user_data UNUSED, transom_request *request UNUSED, transom_response *response UNUSED)
{
    return true;
}

/* NULL in every argument of every function that takes pointers. */
static void nulls(transom_server *server)
{
    transom_field field;
    transom_report report = {.size = sizeof report};
    transom_stats stats = {.size = sizeof stats};
    transom_connection_info info;
    transom_stuck stuck;
    size_t listed;
    transom_writer *writer = (transom_writer *)&report;
    transom_upgraded *upgraded;
    transom_error *error = NULL;
    transom_responder *stale = transom_token_responder(12345);
    const transom_field no_name = TRANSOM_FIELD(NULL, "1"), no_value = TRANSOM_FIELD("a", NULL);
    uint8_t buf[64];
    int32_t results[1];
    uint32_t done;
    size_t len;
    transom_events *events = transom_events_new();
    transom_event event;
    const transom_request *request;
    transom_responder *responder;
    atomic_int freed = 0;

    CHECK_STATUS(transom_set_logger(NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_error_code(NULL) == TRANSOM_OK);
    CHECK(strcmp(transom_error_message(NULL), "") == 0);
    CHECK(transom_error_errno(NULL) == 0);
    transom_error_free(NULL);
    transom_server_free(NULL);

    CHECK_STATUS(transom_server_route(NULL, "GET", "/", say_hello, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_route(server, "GET", NULL, say_hello, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_route(server, "GET", "/", NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(add_inline(NULL, "GET", "/", say_hello, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(add_inline(server, "GET", NULL, say_hello, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(add_inline(server, "GET", "/", NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_fallback(NULL, transom_route_new(NULL, NULL, say_hello, NULL, NULL), NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_fallback(server, transom_route_new(NULL, NULL, NULL, NULL, NULL), NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add(NULL, transom_route_new_pull("GET", "/", 0), NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add(server, transom_route_new_pull("GET", NULL, 0), NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_fallback(NULL, transom_route_new_pull(NULL, NULL, 0), NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_model(NULL, "event", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_model(server, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_workers(NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_unix_mode(NULL, 0600, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_reuse_port(NULL, true, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_allow_host(NULL, "h", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_trust_forwarded(NULL, "forwarded", "unix", false, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_trust_forwarded(server, NULL, "unix", false, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_proxy_protocol(NULL, "unix", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_allow_host(server, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_allow_loopback_hosts(NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(!transom_server_is_stopping(NULL));
    CHECK(transom_server_listener(NULL, 0) == -1);
    CHECK(transom_server_listener_name(NULL, 0, NULL, 0) == 0);
    CHECK_STATUS(transom_server_listen_inherited(NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_hand_over(NULL, NULL, 1, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_hand_over(server, NULL, 1, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_readiness(NULL, "/", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_liveness(NULL, "/", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_liveness(server, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_readiness(server, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_notify_systemd(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_notify_reloading(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_notify_ready(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_notify_status(NULL, "s"), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_notify_status(server, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_on_exchange(NULL, on_exchange, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_on_exchange(server, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_own_answers(NULL, own_answer, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_own_answers(server, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_own_body(NULL, 404, "a/b", "", 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_own_body(server, 404, NULL, "", 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_own_body(server, 404, "a/b", NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_wrap(NULL, go_on, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_access_log(NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_access_log(server, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_open(NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_open_fd(-1, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_new(NULL, NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_set_format(NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_set_own_format(NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_set_buffer(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_reopen(NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_flush(NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_access_log_lost(NULL) == 0);
    transom_access_log_free(NULL);
    CHECK_STATUS(transom_server_add_metrics(NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_metrics(server, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_metrics_route(NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_metrics_route(server, "/metrics", NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_status(NULL, "/s", NULL, NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_status(server, "/s", NULL, NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_status(server, NULL, NULL, NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_status_password(NULL, "/s", NULL, "u", "p", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_status_password(server, NULL, NULL, "u", "p", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_status_password(server, "/s", NULL, NULL, "p", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_status_password(server, "/s", NULL, "u", NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_metrics_text(NULL, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_metrics_snapshot(NULL, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_metrics_shard_count(NULL) == 0);
    CHECK_STATUS(transom_metrics_shard_snapshot(NULL, 0, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    transom_metrics_free(NULL);
    CHECK_STATUS(transom_server_wrap(server, NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_route_wrap(NULL, go_on, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_set_value(NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_request_value(NULL) == NULL);
    CHECK(transom_response_status_code(NULL) == 0);
    CHECK_STATUS(transom_response_set_status_code(NULL, 200), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_response_header(NULL, "a").data == NULL);
    CHECK(transom_response_header_count(NULL) == 0);
    CHECK_STATUS(transom_response_header_at(NULL, 0, &field), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_response_set_header(NULL, "a", "b", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_response_add_header(NULL, "a", "b", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_response_remove_header(NULL, "a"), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_response_body(NULL).data == NULL);
    CHECK_STATUS(transom_response_set_body(NULL, "a", 1), TRANSOM_NULL_ARGUMENT);
    CHECK(strcmp(transom_reject_name(0), "") == 0);
    CHECK(strcmp(transom_reject_name(TRANSOM_REJECT_MISSING_HOST), "missing-host") == 0);
    CHECK(strcmp(transom_reject_name(-1), "unknown") == 0);
    CHECK(strcmp(transom_reject_name(INT32_MIN), "unknown") == 0);
    CHECK(strcmp(transom_reject_name(INT32_MAX), "unknown") == 0);
    CHECK_STATUS(transom_server_set_limit(NULL, "body", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_limit(server, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_timeout(NULL, "body", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_timeout(server, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_thread_hooks(NULL, NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_bind(NULL, "127.0.0.1:0", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_bind(server, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_listen_fd(NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_start(NULL, "127.0.0.1:0", &error), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_error_code(error) == TRANSOM_NULL_ARGUMENT);
    transom_error_free(error);
    CHECK(transom_server_port(NULL) == 0);
    CHECK(transom_server_address(NULL, 0, NULL, 0) == 0);
    CHECK_STATUS(transom_server_stop(NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_note_successor(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_wait(NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_report(NULL, &report), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_report(server, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_stats(NULL, &stats), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_stats(server, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_stats(server, &stats), TRANSOM_NOT_STARTED);
    CHECK_STATUS(transom_server_connections(server, &info, sizeof info, 1, &listed), TRANSOM_NOT_STARTED);
    CHECK_STATUS(transom_server_connections(server, NULL, sizeof info, 1, &listed), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_connections(server, &info, sizeof info, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_connections(NULL, &info, sizeof info, 1, &listed), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_connections(server, &info, sizeof info - 1, 1, &listed), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_connections(server, &info, sizeof info, SIZE_MAX, &listed), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_stuck(server, &stuck, sizeof stuck, 1, &listed), TRANSOM_NOT_STARTED);
    CHECK_STATUS(transom_server_stuck(server, NULL, sizeof stuck, 1, &listed), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_stuck(server, &stuck, sizeof stuck, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_stuck(NULL, &stuck, sizeof stuck, 1, &listed), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_load(server, "a part", 1, 1), TRANSOM_NOT_STARTED);
    CHECK_STATUS(transom_server_set_load(server, NULL, 1, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_load(NULL, "a part", 1, 1), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_server_in_state(NULL, 1) == 0 && transom_server_expired(NULL, 1) == 0);
    CHECK(transom_server_in_state(server, 1) == 0 && transom_server_expired(server, 1) == 0);
    CHECK(transom_server_refused(NULL, 1) == 0);
    CHECK(transom_server_refused(server, 1) == 0);

    CHECK(transom_request_method(NULL).data == NULL);
    CHECK(transom_request_path(NULL).data == NULL);
    CHECK(transom_request_query(NULL).data == NULL);
    CHECK(transom_request_target(NULL).data == NULL);
    CHECK(transom_request_body(NULL).data == NULL);
    CHECK(transom_request_raw_headers(NULL).data == NULL);
    CHECK(transom_request_peer(NULL).data == NULL);
    CHECK(transom_request_local_address(NULL).data == NULL);
    CHECK(transom_request_connection_peer(NULL).data == NULL);
    CHECK(transom_request_scheme(NULL).data == NULL);
    CHECK(transom_request_host(NULL).data == NULL);
    CHECK(!transom_request_peer_credentials(NULL, NULL, NULL, NULL));
    CHECK(transom_request_version(NULL) == 0);
    CHECK(transom_request_header(NULL, "host").data == NULL);
    CHECK(transom_request_header_count(NULL) == 0);
    CHECK_STATUS(transom_request_header_at(NULL, 0, &field), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_request_param(NULL, "id").data == NULL);
    CHECK(transom_request_param_count(NULL) == 0);
    CHECK_STATUS(transom_request_param_at(NULL, 0, &field), TRANSOM_NULL_ARGUMENT);

    CHECK(transom_request_headers(NULL, &field, 1) == 0);
    CHECK(transom_request_trailers(NULL, &field, 1) == 0);
    CHECK(transom_request_query_value(NULL, "a", 0).data == NULL);
    CHECK(transom_request_form_value(NULL, "a", 0).data == NULL);
    CHECK(transom_request_cookie(NULL, "a").data == NULL);
    CHECK_STATUS(transom_request_query_fields(NULL, &field, 1, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_form_fields(NULL, &field, 1, &len), TRANSOM_NULL_ARGUMENT);
    CHECK(!transom_bytes_equal(no_value.value, "") && !transom_bytes_equal(no_name.value, NULL));
    CHECK(!transom_bytes_equal_ignore_case(no_value.value, ""));
    CHECK(transom_percent_decode(NULL, 5, (char *)buf, sizeof buf) == 0 && buf[0] == 0);
    CHECK(transom_percent_decode("a", 1, NULL, 0) == 1);

    CHECK_STATUS(transom_responder_send_text(NULL, 200, ""), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_text(stale, 200, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send(NULL, 200, NULL, 0, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send(stale, 200, NULL, 1, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send(stale, 200, &no_name, 1, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send(stale, 200, &no_value, 1, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send(stale, 200, NULL, 0, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send(stale, 200, NULL, 0, NULL, TRANSOM_NUL_TERMINATED, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_owned(NULL, 200, NULL, 0, NULL, 0, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_owned(stale, 200, NULL, 0, NULL, 1, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_start(NULL, 200, NULL, 0, &writer, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(writer == NULL);
    CHECK_STATUS(transom_responder_start(stale, 200, NULL, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_start_with(NULL, 200, NULL, 0, NULL, 0, &writer, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_start_with(stale, 200, NULL, 0, NULL, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_start_with(stale, 200, NULL, 0, NULL, 1, &writer, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_bytes(NULL, 200, "a/b", NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_bytes(stale, 200, NULL, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_bytes(stale, 200, "a/b", NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_start_sized(NULL, 200, NULL, 0, 0, &writer, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_start_sized(stale, 200, NULL, 0, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_start_sized(stale, 200, NULL, 1, 0, &writer, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_early_hints(NULL, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_early_hints(stale, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_responder_is_gone(NULL));
    CHECK_STATUS(transom_responder_on_gone(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_on_gone(stale, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    transom_responder_free(NULL);

    CHECK_STATUS(transom_writer_write(NULL, NULL, 0, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_writer_write((transom_writer *)stale, NULL, 1, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_writer_feed(NULL, NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_writer_feed((transom_writer *)stale, NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_writer_flush(NULL, 1), TRANSOM_NULL_ARGUMENT);
    OK(transom_writer_flush(NULL, 0));
    writer = NULL;
    OK(transom_writer_flush(&writer, 1));
    CHECK_STATUS(transom_writer_finish(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_writer_finish_with(NULL, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_writer_finish_with((transom_writer *)stale, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    transom_writer_free(NULL);

    CHECK_STATUS(transom_server_next_batch(NULL, buf, 64, 1, 0, &done, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_next_batch(server, NULL, 64, 1, 0, &done, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_next_batch(server, buf, 64, 1, 0, NULL, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_next_batch(server, buf, 64, 1, 0, &done, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_respond_batch(NULL, buf, 0, results, 1, &done), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_respond_batch(server, NULL, 32, results, 1, &done), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_respond_batch(server, buf, 0, NULL, 1, &done), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_respond_batch(server, buf, 0, results, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_next(NULL, &request, &responder, NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_next(server, NULL, &responder, NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_next(server, &request, NULL, NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_next(server, &request, &responder, NULL, -2), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_next(server, &request, &responder, NULL, 0), TRANSOM_TIMEOUT);
    CHECK(request == NULL && responder == NULL);
    CHECK(transom_server_event_fd(NULL) == -1);
    CHECK_STATUS(transom_server_refuse_larger(NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_token_responder(0) == NULL);

    CHECK(!transom_request_is_stopping(NULL) && transom_writer_is_stopping(NULL));
    CHECK_STATUS(transom_responder_on_stopping(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_writer_on_stopping(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_watch_stopping(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_watch_stopping(events, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_watch_stopping(events, 12345), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_watch_writer_stopping(NULL, writer), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_watch_writer_stopping(events, NULL), TRANSOM_NULL_ARGUMENT);
    upgraded = (transom_upgraded *)&report;
    CHECK_STATUS(transom_responder_upgrade(NULL, "chat", NULL, 0, &upgraded, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(upgraded == NULL);
    CHECK_STATUS(transom_responder_upgrade(stale, NULL, NULL, 0, &upgraded, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_upgrade(stale, "chat", NULL, 1, &upgraded, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_upgrade(stale, "chat", NULL, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_upgraded_read(NULL, buf, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_upgraded_read((transom_upgraded *)stale, NULL, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_upgraded_read((transom_upgraded *)stale, buf, 1, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_upgraded_write(NULL, buf, 1, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_upgraded_on_readable(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_upgraded_on_writable(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_upgraded_on_stopping(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_upgraded_is_stopping(NULL));
    transom_upgraded_free(NULL);
    CHECK_STATUS(transom_client_read(NULL, buf, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_client_write(NULL, "x", 1, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_client_read(NULL, NULL, 1, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_client_write(NULL, NULL, 1, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_client_finish(NULL), TRANSOM_NULL_ARGUMENT);
    transom_client_free(NULL);
    CHECK(transom_responder_local_address(NULL, NULL, 0) == 0);
    CHECK_STATUS(transom_server_set_unbound(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_connect(NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_upgraded_readable(events, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_upgraded_readable(NULL, (transom_upgraded *)stale), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_upgraded_writable(events, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_upgraded_writable(NULL, (transom_upgraded *)stale), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_watch_upgraded_stopping(events, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_answer(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_watch_events(NULL, events, "a loop", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_watch_events(server, NULL, "a loop", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_watch_events(server, events, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_watch_events(server, events, "a loop", "\xff"), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_events_watch_upgraded_stopping(NULL, (transom_upgraded *)stale), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_writer_is_gone(NULL));
    CHECK_STATUS(transom_writer_on_writable(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_writer_on_gone(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    transom_events_free(NULL);
    CHECK_STATUS(transom_events_close(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_events_fd(NULL) == -1);
    CHECK_STATUS(transom_events_next(NULL, &event, 1, 0, &done), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_next(events, NULL, 1, 0, &done), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_next(events, NULL, 0, 0, &done), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_events_next(events, &event, 1, -2, &done), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_events_watch_request(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_watch_request(events, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_watch_writer(NULL, writer), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_watch_writer(events, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_room(NULL, writer), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_room(events, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_body(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_on_readable(NULL, count, &freed, count), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_read(NULL, buf, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_request_trailer(NULL, "a").data == NULL);
    CHECK_STATUS(transom_request_trailer_at(NULL, 0, &field), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_route_set_streaming(NULL, true), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_token_read(1, NULL, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_token_read(1, buf, 1, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_upgraded_write((transom_upgraded *)stale, NULL, 1, 0) != TRANSOM_OK);
    OK(transom_limit_range("body", NULL, NULL));
    CHECK(!transom_bytes_equal_ignore_case(no_name.value, NULL));
    /* Both the handle and the function are wrong: which one is reported is open. */
    CHECK(transom_upgraded_on_readable((transom_upgraded *)stale, NULL, &freed, count) != TRANSOM_OK);
    CHECK(transom_upgraded_on_writable((transom_upgraded *)stale, NULL, &freed, count) != TRANSOM_OK);
    CHECK(transom_upgraded_on_stopping((transom_upgraded *)stale, NULL, &freed, count) != TRANSOM_OK);
    CHECK(transom_writer_on_gone((transom_writer *)stale, NULL, &freed, count) != TRANSOM_OK);
    CHECK(transom_writer_on_stopping((transom_writer *)stale, NULL, &freed, count) != TRANSOM_OK);
    CHECK(freed == 6);
    CHECK_STATUS(transom_log_to_events(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_log_to_events(events, 6), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_log_to_events(events, -1), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_log_next(NULL, buf, sizeof buf, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_log_next(results, NULL, 1, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_log_next(results, buf, sizeof buf, NULL), TRANSOM_NULL_ARGUMENT);
    transom_events_free(events);
}

/* Handles that the library never returned. */
static void strays(void)
{
    transom_responder *stray = transom_token_responder(UINT64_MAX);
    transom_writer *writer;
    CHECK_STATUS(transom_responder_send_text(stray, 200, ""), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_send(stray, 200, NULL, 0, NULL, 0, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_start(stray, 200, NULL, 0, &writer, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_start_with(stray, 200, NULL, 0, "x", 1, &writer, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_send_bytes(stray, 200, "a/b", NULL, 0, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_start_sized(stray, 200, NULL, 0, 1, &writer, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_early_hints(stray, NULL, 0, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_writer_finish_with((transom_writer *)stray, NULL, 0, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_on_gone(stray, count, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK(transom_responder_is_gone(stray));
    transom_responder_free(stray);
    CHECK_STATUS(transom_writer_write((transom_writer *)stray, NULL, 0, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_writer_feed((transom_writer *)stray, NULL, 0), TRANSOM_ALREADY_ANSWERED);
    writer = (transom_writer *)stray;
    OK(transom_writer_flush(&writer, 1));
    CHECK_STATUS(transom_writer_finish((transom_writer *)stray), TRANSOM_ALREADY_ANSWERED);
    transom_writer_free((transom_writer *)stray);
    CHECK_STATUS(transom_upgraded_write((transom_upgraded *)stray, "x", 1, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_upgraded_on_readable((transom_upgraded *)stray, count, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_upgraded_on_writable((transom_upgraded *)stray, count, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_upgraded_on_stopping((transom_upgraded *)stray, count, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK(transom_upgraded_is_stopping((transom_upgraded *)stray));
    transom_upgraded_free((transom_upgraded *)stray);
    CHECK(transom_writer_is_gone((transom_writer *)stray) && transom_writer_is_stopping((transom_writer *)stray));
    CHECK_STATUS(transom_responder_on_stopping(stray, count, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_writer_on_stopping((transom_writer *)stray, count, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_writer_on_writable((transom_writer *)stray, count, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_writer_on_gone((transom_writer *)stray, count, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
}

/* Checks the status and the message of a refusal, which contains both texts. */
static void refused(int status, int expected, transom_error **why, const char *one, const char *other)
{
    CHECK_STATUS(status, expected);
    CHECK(*why != NULL);
    CHECK_STATUS(transom_error_code(*why), expected);
    if (strstr(transom_error_message(*why), one) == NULL || strstr(transom_error_message(*why), other) == NULL) {
        fprintf(stderr, "no \"%s\" and \"%s\" in: %s\n", one, other, transom_error_message(*why));
        exit(1);
    }
    transom_error_free(*why);
}

static void routes(transom_server *server)
{
    static const char *const patterns[] = {"", "users", "/{", "/{}", "/a{*b}/c", "/{a}{b}", "/{*rest}/more",
                                           "/q?x=1", "/a#b", "/a/{b}/{b}", "/{id:int}", "/<id>", "/:id", "/*"};
    static const char *const methods[] = {"get", "Get", "CONNECT", "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM"};
    transom_error *why;
    size_t i;
    for (i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        CHECK_STATUS(transom_server_route(server, "GET", patterns[i], say_hello, NULL, NULL, NULL), TRANSOM_BAD_ROUTE);
    for (i = 0; i < sizeof methods / sizeof methods[0]; i++)
        CHECK_STATUS(transom_server_route(server, methods[i], "/x", say_hello, NULL, NULL, NULL), TRANSOM_BAD_ROUTE);
    refused(transom_server_route(server, "GET", "/{id:int}", say_hello, NULL, NULL, &why), TRANSOM_BAD_ROUTE, &why,
            "/{id:int}", "write `{id}`");
    OK(transom_server_route(server, "GET", "/a/{b}", say_hello, NULL, NULL, NULL));
    CHECK_STATUS(transom_server_route(server, "GET", "/a/{c}", say_hello, NULL, NULL, NULL), TRANSOM_BAD_ROUTE);
    CHECK_STATUS(transom_server_route(server, "GET", "/a/{b}", say_hello, NULL, NULL, NULL), TRANSOM_BAD_ROUTE);
    refused(transom_server_route(server, "G T", "/x", say_hello, NULL, NULL, &why), TRANSOM_BAD_ROUTE, &why, "bad route",
            "bad route G T \"/x\": the method");
    CHECK_STATUS(transom_server_route(server, "", "/x", say_hello, NULL, NULL, NULL), TRANSOM_BAD_ROUTE);
    CHECK_STATUS(transom_server_route(server, "\xff", "/x", say_hello, NULL, NULL, NULL), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_server_route(server, "GET", "/\xff", say_hello, NULL, NULL, NULL), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_server_add(server, transom_route_new_pull("POST", "nowhere", 1), NULL), TRANSOM_BAD_ROUTE);
    OK(transom_server_add(server, transom_route_new_pull("POST", "/a/{other}", 1), NULL));
    OK(transom_server_route(server, "*", "/a/{b}", say_hello, NULL, NULL, NULL));
    CHECK_STATUS(transom_server_route(server, NULL, "/a/{b}", say_hello, NULL, NULL, NULL), TRANSOM_BAD_ROUTE);
}

static void refused_settings(transom_server *server)
{
    transom_error *why;
    refused(transom_server_set_limit(server, "boddy", 1, &why), TRANSOM_INVALID_ARGUMENT, &why, "no limit 'boddy'", "mean 'body'?");
    refused(transom_server_set_limit(server, "coffee", 1, &why), TRANSOM_INVALID_ARGUMENT, &why, "no limit 'coffee'", "connections_per_address");
    refused(transom_server_set_limit(server, "head_rate", UINT64_MAX, &why), TRANSOM_INVALID_ARGUMENT, &why, "0 to 4294967295", "18446744073709551615");
    refused(transom_server_set_limit(server, "connections", 0, &why), TRANSOM_INVALID_ARGUMENT, &why, "'connections' is 1 to", "got 0");
    refused(transom_server_set_limit(server, "thread_stack", 4096, &why), TRANSOM_INVALID_ARGUMENT, &why, "is 65536 to", "got 4096");
    refused(transom_server_set_timeout(server, "idel", 1, &why), TRANSOM_INVALID_ARGUMENT, &why, "mean 'idle'?", "There are: head, idle");
    refused(transom_server_set_timeout(server, "idle", -2, &why), TRANSOM_INVALID_ARGUMENT, &why, "'idle' is 1 to", "got -2");
    refused(transom_server_set_timeout(server, "handler", 0, &why), TRANSOM_INVALID_ARGUMENT, &why, "TRANSOM_FOREVER", "got 0");
    refused(transom_server_set_workers(server, SIZE_MAX, &why), TRANSOM_INVALID_ARGUMENT, &why, "workers is 1 to 1024", "18446744073709551615");
    refused(transom_server_set_model(server, "evnet", &why), TRANSOM_INVALID_ARGUMENT, &why, "sequential, threads or event", "got 'evnet'");

    uint64_t least = 7, most = 7;
    OK(transom_limit_range("head_rate", &least, &most));
    CHECK(least == 0 && most == UINT32_MAX);
    OK(transom_limit_range("connections_per_address", &least, NULL));
    CHECK(least == 0);
    OK(transom_limit_range("target", &least, NULL));
    CHECK(least == 1);
    CHECK_STATUS(transom_limit_range("coffee", &least, &most), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_limit_range(NULL, &least, &most), TRANSOM_NULL_ARGUMENT);
    int64_t shortest = 7, longest = 7;
    OK(transom_timeout_range("idle", &shortest, &longest));
    CHECK(shortest == 1 && longest == INT64_MAX);
    OK(transom_timeout_range("drain", &shortest, NULL));
    CHECK(shortest == 0);
    CHECK_STATUS(transom_timeout_range("coffee", &shortest, &longest), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_timeout_range(NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
}

static void settings(transom_server *server)
{
    CHECK_STATUS(transom_server_set_workers(server, 0, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_set_model(server, "Event", NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_set_model(server, "", NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_set_model(server, "\xff", NULL), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_server_set_limit(server, "boddies", 1, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_set_limit(server, "\xff", 1, NULL), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_server_set_timeout(server, "coffee", 1, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_set_timeout(server, "idle", -2, NULL), TRANSOM_INVALID_ARGUMENT);
    refused_settings(server);
    OK(transom_server_set_model(server, "sequential", NULL));
    OK(transom_server_set_model(server, "threads", NULL));
    OK(transom_server_set_model(server, "event", NULL));
    OK(transom_server_set_workers(server, 1, NULL));
    CHECK_STATUS(transom_server_set_unix_mode(server, 01000, NULL), TRANSOM_INVALID_ARGUMENT);
    OK(transom_server_set_unix_mode(server, 0777, NULL));
    OK(transom_server_set_limit(server, "target", 8192, NULL));
    OK(transom_server_set_limit(server, "head", 32768, NULL));
    OK(transom_server_set_limit(server, "headers", 100, NULL));
    OK(transom_server_set_limit(server, "body", UINT64_MAX, NULL));
    OK(transom_server_set_limit(server, "chunk_extensions", 4096, NULL));
    OK(transom_server_set_limit(server, "trailers", 8192, NULL));
    OK(transom_server_set_limit(server, "connections", 100, NULL));
    OK(transom_server_set_limit(server, "output", 65536, NULL));
    OK(transom_server_set_limit(server, "drain", 0, NULL));
    OK(transom_server_set_limit(server, "pool_threads", 2, NULL));
    OK(transom_server_set_limit(server, "pool_queue", 0, NULL));
    OK(transom_server_set_limit(server, "connection_threads", 10, NULL));
    OK(transom_server_set_limit(server, "thread_stack", 1 << 20, NULL));
    OK(transom_server_set_limit(server, "backlog", 16, NULL));
    CHECK_STATUS(transom_server_set_limit(server, "backlog", UINT64_MAX, NULL), TRANSOM_INVALID_ARGUMENT);
    OK(transom_server_set_timeout(server, "head", 1000, NULL));
    OK(transom_server_set_timeout(server, "idle", TRANSOM_FOREVER, NULL));
    OK(transom_server_set_timeout(server, "body", 1000, NULL));
    OK(transom_server_set_timeout(server, "write", INT64_MAX, NULL));
    OK(transom_server_set_timeout(server, "handler", 1000, NULL));
    OK(transom_server_set_timeout(server, "drain", 0, NULL));
    OK(transom_server_set_timeout(server, "stop", 1000, NULL));
    OK(transom_server_set_thread_hooks(server, NULL, NULL, NULL, NULL));
}

static void expect_error(transom_server *server, const char *address, int expected, int number, const char *says)
{
    transom_error *error = NULL;
    CHECK_STATUS(transom_server_bind(server, address, &error), expected);
    CHECK(error != NULL && transom_error_code(error) == expected);
    CHECK(transom_error_errno(error) == number);
    if (strstr(transom_error_message(error), says) == NULL) {
        fprintf(stderr, "%s: %s\n", address, transom_error_message(error));
        exit(1);
    }
    transom_error_free(error);
}

static void addresses(transom_server *server)
{
    char taken[32];
    transom_error *error = (transom_error *)taken;
    transom_server *other = transom_server_new();
    int file = open("/dev/null", O_RDONLY), unbound = socket(AF_INET, SOCK_STREAM, 0);
#ifdef _WIN32
    int packets = socket(AF_INET, SOCK_DGRAM, 0);
#else
    int packets = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    struct sockaddr unnamed = {.sa_family = AF_UNIX};
    CHECK(bind(packets, &unnamed, sizeof unnamed.sa_family) == 0 && listen(packets, 1) == 0);
#endif

    expect_error(server, "127.0.0.1", TRANSOM_BAD_ADDRESS, 0, "127.0.0.1");
    expect_error(server, "127.0.0.1:eighty", TRANSOM_BAD_ADDRESS, 0, "port");
    expect_error(server, "127.0.0.1:65536", TRANSOM_BAD_ADDRESS, 0, "65536");
    expect_error(server, "", TRANSOM_BAD_ADDRESS, 0, "");
    expect_error(server, "unix:", TRANSOM_BAD_ADDRESS, 0, "unix");
    expect_error(server, "unix:/no/such/place", TRANSOM_IO, WITHOUT_FOLDER, "/no/such/place");
    expect_error(server, "192.0.2.1:80", TRANSOM_BAD_ADDRESS, EADDRNOTAVAIL, "192.0.2.1");
    expect_error(server, "\xff", TRANSOM_NOT_UTF8, 0, "UTF-8");

    CHECK_STATUS(transom_server_listen_fd(server, -1, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_listen_fd(server, file, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_listen_fd(server, unbound, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_listen_fd(server, packets, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK(close(file) == 0 && close(unbound) == 0 && close(packets) == 0); /* they still belong to the test */

    CHECK_STATUS(transom_server_start(server, NULL, NULL), TRANSOM_INVALID_ARGUMENT); /* nothing to listen on */
    snprintf(taken, sizeof taken, "127.0.0.1:%u", start(other));
    expect_error(server, taken, TRANSOM_ADDRESS_IN_USE, EADDRINUSE, taken);
    CHECK_STATUS(transom_server_start(server, taken, NULL), TRANSOM_ADDRESS_IN_USE);

#ifndef _WIN32
    /* No thread can have a stack of this size. */
    OK(transom_server_set_model(server, "threads", NULL));
    OK(transom_server_set_limit(server, "thread_stack", (uint64_t)1 << 60, NULL));
    CHECK_STATUS(transom_server_start(server, "127.0.0.1:0", &error), TRANSOM_IO);
    CHECK(strstr(transom_error_message(error), "cannot start a thread") != NULL);
    transom_error_free(error);
    OK(transom_server_set_limit(server, "thread_stack", 1 << 20, NULL));
    OK(transom_server_set_model(server, "event", NULL));
#endif

    /* After these errors the server can be started, and after the start it cannot be changed. */
    CHECK_STATUS(transom_server_stop(server, 0), TRANSOM_NOT_STARTED);
    CHECK_STATUS(transom_server_note_successor(server), TRANSOM_NOT_STARTED);
    CHECK_STATUS(transom_server_wait(server, 0), TRANSOM_NOT_STARTED);
    CHECK_STATUS(transom_server_report(server, &(transom_report){.size = sizeof(transom_report)}), TRANSOM_NOT_STARTED);
    CHECK(transom_server_port(server) == 0 && transom_server_address(server, 0, NULL, 0) == 0);
    CHECK_STATUS(transom_server_start(server, "127.0.0.1:0", &error), TRANSOM_OK);
    CHECK(error == NULL);
    CHECK_STATUS(transom_server_start(server, "127.0.0.1:0", NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_bind(server, "127.0.0.1:0", NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_route(server, "GET", "/late", say_hello, NULL, NULL, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, NULL, NULL), NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_add(server, transom_route_new_pull("GET", "/late", 1), NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_fallback(server, transom_route_new_pull(NULL, NULL, 1), NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_model(server, "event", NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_workers(server, 1, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_unix_mode(server, 0600, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_reuse_port(server, true, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_limit(server, "body", 1, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_timeout(server, "body", 1, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_thread_hooks(server, NULL, NULL, NULL, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_stop(server, -2), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_wait(server, -2), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_wait(server, 0), TRANSOM_TIMEOUT);
    transom_server_free(other);
}

/* Responses that must not be sent. The last of each kind is a good one. */
static void answers(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    const transom_field broken[] = {TRANSOM_FIELD("", "1"),        TRANSOM_FIELD("a b", "1"),     TRANSOM_FIELD("a:", "1"),       TRANSOM_FIELD("a\r\nb", "1"),
                                     TRANSOM_FIELD("\xff", "1"),    TRANSOM_FIELD("a", "1\r\nb: 2"), TRANSOM_FIELD("a", "\n"),       TRANSOM_FIELD("a", "\x7f")};
    const transom_field good = TRANSOM_FIELD("x-good", "1");
    const uint16_t statuses[] = {0, 1, 99, 100, 101, 199, 600, 999, 1000, 65535};
    transom_writer *writer;
    size_t i;
    CHECK_STATUS(transom_request_header_at(request, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_param_at(request, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_request_form_value(request, NULL, 0).data == NULL && transom_request_trailer(request, NULL).data == NULL);
    CHECK_STATUS(transom_request_trailer_at(request, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_form_fields(request, NULL, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_request_trailers(request, NULL, 5) == 0);
    CHECK(transom_request_header(request, NULL).data == NULL && transom_request_header(request, "\xff").data == NULL);
    CHECK(transom_request_param(request, NULL).data == NULL && transom_request_param(request, "\xff").data == NULL);
    for (i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        CHECK_STATUS(transom_responder_send(responder, 200, &broken[i], 1, NULL, 0, NULL), TRANSOM_BAD_HEADER);
        CHECK_STATUS(transom_responder_start(responder, 200, &broken[i], 1, &writer, NULL), TRANSOM_BAD_HEADER);
    }
    for (i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        CHECK_STATUS(transom_responder_send_text(responder, statuses[i], ""), TRANSOM_BAD_STATUS_CODE);
        CHECK_STATUS(transom_responder_send(responder, statuses[i], NULL, 0, NULL, 0, NULL), TRANSOM_BAD_STATUS_CODE);
    }
    transom_error *why;
    refused(transom_responder_send(responder, 200, &broken[1], 1, NULL, 0, &why), TRANSOM_BAD_HEADER, &why, "a b", "name");
    refused(transom_responder_start(responder, 99, NULL, 0, &writer, &why), TRANSOM_BAD_STATUS_CODE, &why, "200", "599");
    CHECK_STATUS(transom_responder_send_text(responder, 200, "\xff"), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_responder_send(responder, 200, &good, SIZE_MAX / 2, NULL, 0, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_responder_send(responder, 200, NULL, 0, "", SIZE_MAX - 1, NULL),
                 TRANSOM_INVALID_ARGUMENT);
    OK(transom_responder_send(responder, 200, &good, 1, NULL, 0, NULL));
}

/* NULL to the functions that change a response. */
static void after(void *user_data UNUSED, const transom_request *request UNUSED, transom_response *response)
{
    CHECK_STATUS(transom_response_add_header(response, NULL, "b", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_response_add_header(response, "a", NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_response_remove_header(response, NULL), TRANSOM_NULL_ARGUMENT);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    nulls(server);
    route_objects(server);
    strays();
    routes(server);
    settings(server);
    addresses(server);
    transom_server_free(server);

    server = transom_server_new();
    OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, answers, NULL, NULL), NULL));
    OK(transom_server_wrap(server, go_on, after, NULL, NULL));
    CHECK(get(start(server), "/", &reply) == 200);
    CHECK(strstr(reply.text, "x-good: 1\r\n"));
    transom_server_free(server);
    return 0;
}
