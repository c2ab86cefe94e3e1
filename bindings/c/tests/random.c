/*
 * Four threads call the functions at random, with fresh, stale and forged handles, while clients
 * come and leave at random. Nothing crashes, and every free function has run once at the end.
 *
 * TRANSOM_TEST_SEED plays a seed again; TRANSOM_TEST_SECONDS says how long it runs (2).
 */
#include "common.h"

#define CALLERS 4
#define CLIENTS 6
#define KEPT 64
#define ROOM 16384

static transom_server *server;
static transom_events *events;
static uint16_t port;
static atomic_int phase;
static atomic_uint threads, registered, freed;
static atomic_uint calls, handled, answered;
static atomic_uintptr_t kept[KEPT];
static uint64_t seed;
static int file;
static _Thread_local uint64_t state;

/* A number below `limit`, from a generator for each thread (xorshift64). */
static unsigned below(unsigned limit)
{
    if (state == 0)
        state = (seed + atomic_fetch_add(&threads, 1)) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 16) % limit);
}

/* Every status is one of the documented ones, and none reports a defect. */
static int did(int status)
{
    CHECK(status <= TRANSOM_OK && status >= TRANSOM_BAD_HANDSHAKE && status != TRANSOM_PANIC);
    atomic_fetch_add(&calls, 1);
    return status;
}

/* User data that must be freed once: twice is an error of the allocator, never is counted. */
static void *data(void)
{
    atomic_fetch_add(&registered, 1);
    return malloc(8);
}

static void give_back(void *user_data)
{
    free(user_data);
    atomic_fetch_add(&freed, 1);
}

static void release(uintptr_t handle)
{
    transom_responder_free((transom_responder *)handle);
    transom_writer_free((transom_writer *)handle);
    transom_upgraded_free((transom_upgraded *)handle);
    transom_websocket_free((transom_websocket *)handle);
    transom_websocket_upgrade_free((transom_websocket_upgrade *)handle);
    transom_sse_free((transom_sse *)handle);
    transom_sse_broadcast_free((transom_sse_broadcast *)handle);
    transom_broadcast_free((transom_broadcast *)handle);
    transom_client_free((transom_client *)handle);
    transom_tls_free((transom_tls *)handle);
    transom_access_log_free((transom_access_log *)handle);
    transom_files_free((transom_files *)handle);
    transom_compression_free((transom_compression *)handle);
    transom_metrics_free((transom_metrics *)handle);
    transom_congestion_free((transom_congestion *)handle);
    transom_signing_keys_free((transom_signing_keys *)handle);
}

/* Keeps a handle for the other threads, in place of another one, which is freed. */
static void keep(const void *handle)
{
    release(atomic_exchange(&kept[below(KEPT)], (uintptr_t)handle));
}

/* A handle: one that is kept, of any kind, which may be used up, or one that is made up. */
static uintptr_t any(void)
{
    uintptr_t handle = atomic_load(&kept[below(KEPT)]);
    switch (below(12)) {
    case 0: return 0;
    case 1: return handle ^ (uintptr_t)1 << below(8 * sizeof handle);
    case 2: return handle + 1 - below(3);
    case 3: return (uintptr_t)below(UINT32_MAX) << below(32);
    default: return handle;
    }
}

#define RESPONDER ((transom_responder *)any())
#define WRITER ((transom_writer *)any())
#define UPGRADED ((transom_upgraded *)any())
#define WEBSOCKET ((transom_websocket *)any())
#define BROADCAST ((transom_broadcast *)any())
#define WEBSOCKET_UPGRADE ((transom_websocket_upgrade *)any())
#define SSE ((transom_sse *)any())
#define SSE_BROADCAST ((transom_sse_broadcast *)any())
#define CLIENT ((transom_client *)any())
#define TLS ((transom_tls *)any())
#define LOG ((transom_access_log *)any())
#define FILES ((transom_files *)any())
#define COMPRESSION ((transom_compression *)any())
#define METRICS ((transom_metrics *)any())
#define CONGESTION ((transom_congestion *)any())
#define KEYS ((transom_signing_keys *)any())

static const char body[ROOM + 1] = "a=1&b=%41&c";

static int64_t timeout(void)
{
    static const int64_t times[] = {0, 0, 1, 3, -2, INT64_MIN};
    return times[below(6)];
}

static size_t length(void)
{
    static const size_t lengths[] = {0, 1, 7, 4096, ROOM, TRANSOM_NUL_TERMINATED};
    return lengths[below(6)];
}

static const char *text(void)
{
    static const char *const texts[] = {NULL, "", "a", "content-type", "x-a", "text/plain", "/a", "GET", "\xff", "a\r\nb", "handler", "body"};
    return texts[below(12)];
}

static uint16_t code(void)
{
    static const uint16_t codes[] = {200, 200, 200, 204, 304, 404, 500, 0, 101, 999};
    return codes[below(10)];
}

static const transom_field *fields(size_t *count)
{
    static const transom_field good[] = {TRANSOM_FIELD("x-a", "1"), TRANSOM_FIELD("x-b", ""), TRANSOM_FIELD("link", "</a>")};
    static const transom_field bad[] = {TRANSOM_FIELD("x-a", "1"), TRANSOM_FIELD("", "2"), TRANSOM_FIELD(NULL, NULL)};
    *count = below(4);
    return below(8) ? good : below(2) ? bad : NULL;
}

/* Reads an error, if there is one, and frees it. */
static void told(transom_error *error)
{
    CHECK(transom_error_message(error) != NULL);
    did(transom_error_code(error));
    transom_error_errno(error);
    transom_error_free(error);
}

static void callback(void *user_data UNUSED)
{
    transom_responder_is_gone(RESPONDER);
}

/* Either the callback, or none, which is refused. */
static transom_callback_fn maybe(void)
{
    return below(8) ? callback : NULL;
}

static void call_responder(void)
{
    size_t count;
    const transom_field *list = fields(&count);
    transom_writer *writer = NULL;
    transom_upgraded *upgraded = NULL;
    transom_websocket *websocket = NULL;
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    int status = 1;
    switch (below(15)) {
    case 0: status = did(transom_responder_send_text(RESPONDER, code(), text())); break;
    case 1: status = did(transom_responder_send(RESPONDER, code(), list, count, below(8) ? body : NULL, length(), why)); break;
    case 2: status = did(transom_responder_send_bytes(RESPONDER, code(), text(), below(8) ? body : NULL, length(), why)); break;
    case 3: status = did(transom_responder_send_owned(RESPONDER, code(), list, count, below(8) ? body : NULL, length(), data(), give_back, why)); break;
    case 4: status = did(transom_responder_start_with(RESPONDER, code(), list, count, below(8) ? body : NULL, length(), below(8) ? &writer : NULL, why)); break;
    case 5: status = did(transom_responder_start(RESPONDER, code(), list, count, below(8) ? &writer : NULL, why)); break;
    case 6: status = did(transom_responder_start_sized(RESPONDER, code(), list, count, below(20), below(8) ? &writer : NULL, why)); break;
    case 7: did(transom_responder_early_hints(RESPONDER, list, count, why)); break;
    case 8: transom_responder_free(RESPONDER); break;
    case 9: did(transom_responder_on_gone(RESPONDER, maybe(), data(), give_back)); break;
    case 10: did(transom_responder_on_stopping(RESPONDER, maybe(), data(), give_back)); break;
    case 11: status = did(transom_responder_send_file(RESPONDER, code(), list, count, below(4) ? dup(file) : -1, below(9), below(2) ? TRANSOM_TO_END : below(9), why)); break;
    case 12: case 13: status = did(transom_responder_accept_websocket(RESPONDER, below(2) ? NULL : WEBSOCKET_UPGRADE, list, count, below(8) ? &websocket : NULL, why)); break;
    default: status = did(transom_responder_upgrade(RESPONDER, below(4) ? "chat" : text(), list, count, below(8) ? &upgraded : NULL, why)); break;
    }
    if (status == TRANSOM_OK)
        atomic_fetch_add(&answered, 1);
    told(error);
    if (writer)
        keep(writer);
    if (upgraded)
        keep(upgraded);
    if (websocket)
        keep(websocket);
}

static void call_websocket(void)
{
    transom_websocket_message *message = NULL;
    transom_websocket *other;
    transom_broadcast *broadcast = NULL;
    char buf[64];
    int32_t kind;
    bool is_last;
    size_t len;
    switch (below(21)) {
    case 18:
        if (did(transom_websocket_receive(WEBSOCKET, 0, &message)) == TRANSOM_OK || below(8) == 0)
            did(transom_websocket_send_message(WEBSOCKET, below(8) ? &message : NULL, timeout()));
        break;
    case 19:
        did(transom_websocket_feed(WEBSOCKET, (int)below(4), below(8) ? body : NULL, length()));
        other = WEBSOCKET;
        did(transom_websocket_flush(below(8) ? &other : NULL, below(2)));
        break;
    case 14:
        did(transom_broadcast_new((int)below(4), below(8) ? &broadcast : NULL));
        if (broadcast)
            keep(broadcast);
        break;
    case 15: did(transom_broadcast_add(BROADCAST, WEBSOCKET)); did(transom_broadcast_remove(BROADCAST, WEBSOCKET)); break;
    case 16: did(transom_broadcast_send(BROADCAST, (int)below(4), below(8) ? body : NULL, length(), below(2) ? &len : NULL)); transom_broadcast_count(BROADCAST); break;
    case 13: did(transom_websocket_send_piece(WEBSOCKET, 1 + (int)below(2), below(8) ? body : NULL, length(), below(2), timeout())); break;
    case 0: case 1: did(transom_websocket_send(WEBSOCKET, (int)below(4), below(8) ? body : NULL, length(), timeout())); break;
    case 2: did(transom_websocket_receive(WEBSOCKET, timeout(), below(8) ? &message : NULL)); break;
    case 3: did(transom_websocket_receive_into(WEBSOCKET, below(8) ? buf : NULL, below(65), timeout(), below(8) ? &kind : NULL, below(2) ? &is_last : NULL, below(8) ? &len : NULL)); break;
    case 4: did(transom_websocket_ping(WEBSOCKET, below(8) ? body : NULL, length())); break;
    case 5: did(transom_websocket_close(WEBSOCKET, below(2) ? 1000 : (uint16_t)below(UINT16_MAX), text())); break;
    case 6:
        transom_websocket_close_code(WEBSOCKET);
        transom_websocket_close_reason(WEBSOCKET, below(8) ? buf : NULL, below(65));
        transom_websocket_subprotocol(WEBSOCKET, below(8) ? buf : NULL, below(65));
        break;
    case 7: transom_websocket_is_closed(WEBSOCKET); transom_websocket_queued(WEBSOCKET); transom_websocket_is_compressed(WEBSOCKET); break;
    case 8: did(transom_websocket_on_message(WEBSOCKET, maybe(), data(), give_back)); break;
    case 9: did(transom_websocket_on_writable(WEBSOCKET, maybe(), data(), give_back)); break;
    case 10: did(transom_websocket_on_closed(WEBSOCKET, maybe(), data(), give_back)); break;
    case 11: keep(transom_websocket_upgrade_new()); break;
    case 12:
        did(transom_websocket_upgrade_set(WEBSOCKET_UPGRADE, (int)below(13), below(2) ? below(2) : timeout()));
        did(transom_websocket_upgrade_add_subprotocol(WEBSOCKET_UPGRADE, text()));
        did(transom_websocket_upgrade_add_origin(WEBSOCKET_UPGRADE, text()));
        break;
    default:
        if (below(4) == 0)
            transom_websocket_free(WEBSOCKET);
    }
    transom_websocket_message_free(message);
}

static void call_writer(void)
{
    char buf[64];
    size_t count, len;
    const transom_field *list = fields(&count);
    transom_error *error = NULL;
    transom_client *client = NULL;
    transom_writer *other;
    switch (below(18)) {
    case 0: did(transom_writer_write(WRITER, below(8) ? body : NULL, length(), timeout())); break;
    case 1:
        did(transom_writer_feed(WRITER, below(8) ? body : NULL, length()));
        other = WRITER;
        did(transom_writer_flush(below(8) ? &other : NULL, below(2)));
        break;
    case 2: did(transom_writer_finish(WRITER)); break;
    case 3: did(transom_writer_finish_with(WRITER, list, count, below(2) ? &error : NULL)); break;
    case 4: transom_writer_free(WRITER); break;
    case 5: transom_writer_is_gone(WRITER); transom_writer_is_stopping(WRITER); break;
    case 6: did(transom_writer_on_writable(WRITER, maybe(), data(), give_back)); break;
    case 7: did(transom_writer_on_gone(WRITER, maybe(), data(), give_back)); break;
    case 8: did(transom_writer_on_stopping(WRITER, maybe(), data(), give_back)); break;
    case 9: did(transom_upgraded_read(UPGRADED, below(8) ? buf : NULL, below(65), timeout(), below(8) ? &len : NULL)); break;
    case 10: did(transom_upgraded_write(UPGRADED, below(8) ? body : NULL, length(), timeout())); break;
    case 11: did(transom_upgraded_on_readable(UPGRADED, maybe(), data(), give_back)); break;
    case 12: did(transom_upgraded_on_writable(UPGRADED, maybe(), data(), give_back)); break;
    case 13: did(transom_client_read(CLIENT, below(8) ? buf : NULL, below(65), timeout(), below(8) ? &len : NULL)); break;
    case 14: did(transom_client_write(CLIENT, below(8) ? body : NULL, length(), timeout())); break;
    case 15: did(transom_client_finish(CLIENT)); break;
    case 16:
        did(transom_server_connect(server, below(2) ? text() : NULL, below(8) ? &client : NULL, below(2) ? &error : NULL));
        if (client)
            keep(client);
        break;
    default:
        did(transom_upgraded_on_stopping(UPGRADED, maybe(), data(), give_back));
        transom_upgraded_is_stopping(UPGRADED);
        if (below(4) == 0)
            transom_upgraded_free(UPGRADED);
    }
    told(error);
}

static void call_sse(void)
{
    size_t count, reached;
    const transom_field *list = fields(&count);
    transom_bytes part = {below(4) ? (const uint8_t *)body : NULL, length()};
    transom_sse_event event = {part, {(const uint8_t *)text(), below(2) ? 0 : 1}, {NULL, 0}, (int64_t)below(9) - 1};
    transom_sse_settings settings = {timeout(), below(2) ? 0 : below(2000), below(2) ? &event : NULL};
    transom_sse *sse = NULL;
    transom_sse_broadcast *broadcast = NULL;
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    switch (below(12)) {
    case 0: case 1:
        if (did(transom_responder_start_sse(RESPONDER, list, count, below(2) ? &settings : NULL, below(8) ? &sse : NULL, why)) == TRANSOM_OK)
            atomic_fetch_add(&answered, 1);
        break;
    case 2: did(transom_sse_broadcast_new((int32_t)below(4), below(9), below(8) ? &broadcast : NULL)); break;
    case 3: case 4:
        if (did(transom_sse_broadcast_subscribe(SSE_BROADCAST, RESPONDER, part, list, count, below(2) ? &settings : NULL, why)) == TRANSOM_OK)
            atomic_fetch_add(&answered, 1);
        break;
    case 5: did(transom_sse_broadcast_send(SSE_BROADCAST, below(8) ? &event : NULL, below(2) ? &reached : NULL)); break;
    case 6: did(transom_sse_on_writable(SSE, maybe(), data(), give_back)); break;
    case 7: did(transom_sse_on_gone(SSE, maybe(), data(), give_back)); break;
    case 8: transom_sse_is_gone(SSE); transom_sse_queued(SSE); break;
    case 9: transom_sse_broadcast_count(SSE_BROADCAST); did(transom_sse_broadcast_close(SSE_BROADCAST)); break;
    default: did(transom_sse_send(SSE, below(8) ? &event : NULL, timeout()));
    }
    told(error);
    if (sse)
        keep(sse);
    if (broadcast)
        keep(broadcast);
}

static void call_events(void)
{
    transom_events *own = below(4) ? events : transom_events_new();
    transom_event list[4];
    uint32_t count;
    uint8_t buf[4096];
    int32_t level;
    size_t len;
    int turn;
    for (turn = 0; turn < 3; turn++) {
        switch (below(16)) {
        case 12:
            did(transom_events_await_websocket_message(own, WEBSOCKET));
            did(transom_events_receive_websocket_message(own, WEBSOCKET, below(8) ? buf : NULL, below(65), below(8) ? &level : NULL, NULL, below(8) ? &len : NULL));
            break;
        case 13:
            did(transom_events_await_websocket_writable(own, WEBSOCKET));
            did(transom_events_watch_websocket_closed(own, WEBSOCKET));
            break;
        case 0: did(transom_events_await_body(own, any())); break;
        case 1: did(transom_events_await_room(own, WRITER)); break;
        case 2: did(transom_events_await_upgraded_readable(own, UPGRADED)); break;
        case 3: did(transom_events_await_upgraded_writable(own, UPGRADED)); break;
        case 4: did(transom_events_watch_request(own, any())); break;
        case 5: did(transom_events_watch_stopping(own, any())); break;
        case 6: did(transom_events_watch_upgraded_stopping(own, UPGRADED)); break;
        case 7: did(transom_events_watch_writer(own, WRITER)); break;
        case 8: did(transom_events_watch_writer_stopping(own, WRITER)); break;
        case 9:
            did(transom_log_to_events(own, (int32_t)below(8) - 1));
            did(transom_server_watch_events(server, own, below(4) ? "a loop" : text(), below(2) ? NULL : text()));
            did(transom_events_answer(own, below(4)));
            break;
        case 10: did(transom_log_next(&level, buf, below(sizeof buf), below(8) ? &len : NULL)); break;
        case 11: transom_events_fd(own); did(transom_log((int32_t)below(7), text())); break;
        default: did(transom_events_next(own, below(8) ? list : NULL, below(5), timeout(), below(8) ? &count : NULL)); break;
        }
    }
    if (own != events) {
        if (below(2))
            did(transom_events_close(own));
        transom_events_free(own);
    } else if (below(5000) == 0) {
        did(transom_events_close(own));
    }
}

static void call_pull(void)
{
    static const char names[] = "a\0b";
    uint64_t buf[ROOM / 8];
    const char *at = (const char *)buf;
    const transom_request *request;
    transom_responder *responder = NULL;
    transom_request_record record;
    transom_response_record answer = {32, code(), 0, any(), below(3), 0, below(2)};
    int32_t results[2];
    uint32_t count = 0;
    size_t len;
    switch (below(6)) {
    case 0:
        if (did(transom_server_next(server, below(8) ? &request : NULL, &responder, NULL, timeout())) == TRANSOM_OK)
            keep(responder);
        break;
    case 1:
        if (did(transom_server_next_batch(server, below(8) ? buf : NULL, below(ROOM), below(9), timeout(), &count, &len)) == TRANSOM_OK)
            for (; count > 0; count--, at += record.record_len) {
                memcpy(&record, at, sizeof record);
                keep(transom_token_responder(record.token));
            }
        break;
    case 2:
        memset(buf, (int)below(256), sizeof buf);
        memcpy(buf, &answer, sizeof answer);
        did(transom_server_respond_batch(server, buf, below(4) ? 32 : below(80), results, below(3), &count));
        break;
    case 3: did(transom_token_read(any(), buf, below(ROOM), timeout(), &len)); break;
    case 4: transom_server_event_fd(server); did(transom_server_refuse_larger(server, below(100))); break;
    default:
        transom_percent_decode(names, below(4), (char *)buf, below(8));
        transom_responder_is_gone(transom_token_responder(any()));
    }
}

static void handle(void *user_data, const transom_request *request, transom_responder *responder);
static bool before(void *user_data, transom_request *request, transom_response *response);
static void after(void *user_data, const transom_request *request, transom_response *response);

static void on_exchange(void *user_data UNUSED, const transom_exchange *exchange)
{
    CHECK(exchange->size == sizeof *exchange && exchange->ended >= TRANSOM_ENDED_ANSWERED);
}

static void own_answer(void *user_data UNUSED, const transom_own_answer *answer UNUSED, transom_response *response)
{
    after(NULL, NULL, response);
}

/* A route with settings at random. */
static transom_route *route(const char *method, const char *pattern, int streams)
{
    transom_route *made = transom_route_new(method, pattern, handle, data(), give_back);
    did(transom_route_set_streaming(made, streams));
    if (below(3) == 0)
        did(transom_route_set_inline(made, true));
    if (below(3) == 0)
        did(transom_route_set_timeout(made, below(300)));
    if (below(3) == 0)
        did(transom_route_set_priority(made, below(2) ? "low" : below(2) ? "vital" : text()));
    if (below(3) == 0)
        did(transom_route_set_body_limit(made, below(20000)));
    if (below(4) == 0)
        did(transom_route_set_decompression(made, below(20000)));
    if (below(3) == 0)
        did(transom_route_set_decompression_memory(made, below(20000)));
    if (below(3) == 0)
        did(transom_route_wrap(made, below(4) ? before : NULL, below(4) ? after : NULL, data(), give_back));
    return made;
}

static int write_lines(void *user_data UNUSED, const void *data, size_t len)
{
    CHECK(len > 0 && ((const char *)data)[len - 1] == '\n');
    return below(4) ? 0 : (int)below(200) - 1;
}

static int format_line(void *user_data UNUSED, const transom_exchange *exchange, char *buffer, size_t size)
{
    return below(9) ? snprintf(buffer, size, "%0*d", (int)below(3000), exchange->status_code) : (int)below(3) - 1;
}

static void call_log(transom_server *on)
{
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    transom_access_log *log = NULL;
    switch (below(10)) {
    case 9: did(transom_access_log_open_fd(below(2) ? file : -1, &log, why)); break;
    case 0: did(transom_access_log_open(below(2) ? "./access.log" : text(), below(8) ? &log : NULL, why)); break;
    case 1: did(transom_access_log_new(below(8) ? write_lines : NULL, data(), give_back, &log, why)); break;
    case 2: did(transom_access_log_set_format(LOG, below(2) ? "json" : text(), why)); break;
    case 3: did(transom_access_log_set_own_format(LOG, below(8) ? format_line : NULL, data(), give_back)); break;
    case 4: did(transom_access_log_set_buffer(LOG, length())); break;
    case 5: did(transom_access_log_reopen(LOG, why)); break;
    case 6: did(transom_access_log_flush(LOG, below(2) ? 0 : -2)); break;
    case 7: transom_access_log_lost(LOG); break;
    default: did(transom_server_add_access_log(on, LOG));
    }
    keep(log);
    told(error);
}

static void call_compression(transom_server *on)
{
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    transom_compression *compression = NULL;
    switch (below(7)) {
    case 0: compression = transom_compression_new(); break;
    case 1: did(transom_compression_set_codings(COMPRESSION, below(2) ? "br, gzip" : text(), why)); break;
    case 2: did(transom_compression_set_level(COMPRESSION, below(2) ? "zstd" : text(), (uint32_t)length(), why)); break;
    case 3: did(transom_compression_set_min_size(COMPRESSION, length())); break;
    case 4: did(transom_compression_set_types(COMPRESSION, text())); break;
    case 5: did(transom_compression_set_max_streams(COMPRESSION, length())); break;
    default: did(transom_server_set_compression(on, below(2) ? NULL : COMPRESSION, why));
    }
    keep(compression);
    told(error);
}

static void call_tls(transom_server *on)
{
    static const transom_bytes protocols[] = {TRANSOM_TEXT("http/1.1"), {NULL, 0}, {NULL, 5}};
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    switch (below(16)) {
    case 0: case 1: keep(transom_tls_new()); break;
    case 2: did(transom_tls_add_files(TLS, text(), text())); break;
    case 3: did(transom_tls_add_pem(TLS, text(), below(2) ? 1 : 0, body, length())); break;
    case 4: did(transom_tls_add_client_authorities_file(TLS, text())); break;
    case 5: did(transom_tls_add_client_authorities(TLS, body, length())); break;
    case 6: did(transom_tls_add_client_revocations_file(TLS, text())); break;
    case 7: did(transom_tls_set_client_certificates_optional(TLS)); break;
    case 8: did(transom_tls_set_protocols(TLS, below(8) ? protocols : NULL, below(4))); break;
    case 9: did(transom_tls_set_least_version(TLS, below(2) ? "1.3" : text(), why)); break;
    case 10: did(transom_tls_set_watch(TLS, timeout())); break;
    case 11: did(transom_tls_reload(TLS, why)); break;
    case 12: did(transom_tls_replace(TLS, body, length(), body, length(), why)); break;
    case 13: did(transom_server_bind_tls(on, below(2) ? "127.0.0.1:0" : text(), TLS, why)); break;
    case 14: did(transom_server_set_listener_tls(on, below(3), TLS, why)); break;
    default:
        did(transom_server_bind_redirect(on, below(2) ? "127.0.0.1:0" : text(), (uint16_t)below(3), why));
        did(transom_server_set_listener_redirect(on, below(3), (uint16_t)below(3), NULL));
    }
    told(error);
}

/* Makes middleware, and uses it or not. */
static void call_middleware(transom_server *on)
{
    static const char *const names[] = {"cors", "rate_limit", "basic_auth", "cache_control", "nothing", NULL};
    static const char *const settings[] = {"origin", "user", "for_type", "addresses", "nothing", NULL};
    transom_middleware *made = NULL;
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    did(transom_middleware_new(names[below(6)], below(2) ? "5/60" : text(), &made, why));
    if (made != NULL && error == NULL)
        did(transom_middleware_set(made, settings[below(6)], text(), why));
    told(error);
    did(transom_server_use(on, made));
    if (made != NULL) {
        transom_route *route = transom_route_new("GET", "/a", NULL, NULL, NULL);
        did(transom_route_use(route, made));
        transom_route_free(route);
    }
    transom_middleware_free(made);
}

/* Settings of a server that is started, or not yet. */
static void call_files(transom_server *on)
{
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    transom_files *files = NULL;
    switch (below(9)) {
    case 0: did(transom_files_new(below(4) ? "." : text(), below(8) ? &files : NULL, why)); break;
    case 1: did(transom_files_set(FILES, below(2) ? "range_limit" : text(), below(3), why)); break;
    case 2: did(transom_files_set_index(FILES, text(), why)); break;
    case 3: did(transom_files_set_single_page(FILES, text(), why)); break;
    case 4: did(transom_files_set_charset(FILES, text(), why)); break;
    case 5: did(transom_files_add_cache_control(FILES, text(), text(), why)); break;
    case 6: did(transom_files_add_content_type(FILES, text(), text(), why)); break;
    case 7: did(transom_responder_send_path(RESPONDER, NULL, text(), NULL, 0, text(), why)); break;
    default: did(transom_server_add_files(on, text(), FILES, why));
    }
    keep(files);
    told(error);
}

static void call_metrics(transom_server *on)
{
    static uint64_t room[1024];
    size_t length = 0, size = below(8 * 1024);
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    switch (below(19)) {
    case 18: call_middleware(on); break;
    case 0: keep(transom_metrics_new(below(5))); break;
    case 8: keep(transom_congestion_new(below(20) - 1, below(200))); break;
    case 9: transom_congestion_note_idle(CONGESTION); break;
    case 10: transom_congestion_note_start(CONGESTION, below(1000000), below(5)); break;
    case 11: (void)transom_congestion_is_overloaded(CONGESTION); break;
    case 12: (void)transom_congestion_admits(CONGESTION, text(), below(9), UINT64_MAX >> below(64)); break;
    case 13: (void)transom_congestion_may_start(CONGESTION, text(), UINT64_MAX >> below(64)); break;
    case 14: did(transom_responder_refuse(RESPONDER, (int)below(40))); break;
    case 1: did(transom_server_add_metrics(on, METRICS)); break;
    case 2: did(transom_server_add_metrics_route(on, text(), METRICS, why)); break;
    case 3: did(transom_metrics_text(METRICS, (char *)room, size, &length)); break;
    case 4: did(transom_metrics_snapshot(METRICS, room, size, below(8) ? &length : NULL)); break;
    case 15: did(transom_metrics_shard_snapshot(METRICS, below(4), room, size, below(8) ? &length : NULL)); break;
    case 16: (void)transom_metrics_shard_count(METRICS); break;
    case 5: did(transom_server_add_status_password(on, text(), METRICS, text(), text(), why)); break;
    case 6: did(transom_server_add_status(on, text(), METRICS, NULL, data(), give_back, why)); break;
    default: CHECK(transom_metrics_bounds(below(2) ? &length : NULL) != NULL);
    }
    told(error);
}

static void set_up(transom_server *on)
{
    size_t count;
    const char *address;
    transom_error *error = NULL;
    transom_error **why = below(2) ? &error : NULL;
    switch (below(25)) {
    case 24: call_compression(on); break;
    case 20: did(transom_server_set_own_body(on, code(), text(), "{status}{?{detail}?}", below(21), why)); break;
    case 19: call_tls(on); break;
    case 21: call_log(on); break;
    case 22: call_metrics(on); break;
    case 23: call_files(on); break;
    case 0: did(transom_server_add(on, route(text(), text(), (int)below(2)), why)); break;
    case 1: did(transom_server_set_fallback(on, route(NULL, NULL, 0), why)); break;
    case 2: did(transom_server_route(on, text(), text(), handle, data(), give_back, why)); break;
    case 3: transom_route_free(route(text(), text(), 1)); break;
    case 4: did(transom_server_allow_host(on, below(2) ? "test" : text(), why)); break;
    case 5: did(transom_server_allow_loopback_hosts(on, why)); break;
    case 6: did(transom_server_bind(on, below(2) ? "127.0.0.1:0" : text(), why)); break;
    case 7: did(transom_server_listen_fd(on, -1, why)); break;
    case 8: did(transom_server_on_exchange(on, below(4) ? on_exchange : NULL, data(), give_back)); break;
    case 9: did(transom_server_own_answers(on, below(4) ? own_answer : NULL, data(), give_back)); break;
    case 10: did(transom_server_wrap(on, before, after, data(), give_back)); break;
    case 11: did(transom_server_set_thread_hooks(on, maybe(), maybe(), data(), give_back)); break;
    case 12: did(transom_server_set_limit(on, text(), below(1000), why)); break;
    case 13: did(transom_server_set_timeout(on, text(), below(1000), why)); break;
    case 14: did(transom_server_set_model(on, text(), why)); break;
    case 15:
        address = below(2) ? "127.0.0.1:0" : text();
        if (did(transom_server_start(on, address, why)) == TRANSOM_OK)
            CHECK(transom_server_port(on) != 0 || address == NULL);
        break;
    case 16:
        if (below(2))
            did(transom_server_add_readiness(on, text(), why));
        else
            did(transom_server_add_liveness(on, text(), why));
        break;
    case 17: did(transom_server_notify_systemd(on)); did(transom_server_set_unbound(on)); did(transom_server_note_successor(on)); break;
    case 18: did(transom_server_listen_inherited(on, below(2) ? &count : NULL, why)); break;
    default:
        did(transom_server_set_unix_mode(on, below(1024), why));
        did(transom_server_set_reuse_port(on, below(2), why));
        did(transom_server_trust_forwarded(on, below(2) ? "forwarded" : text(), text(), below(2), NULL));
        did(transom_server_set_proxy_protocol(on, below(2) ? NULL : text(), NULL));
        did(transom_server_set_overload(on, below(20), below(200), NULL));
        did(transom_server_reserve(on, below(4), NULL));
        did(transom_server_set_listener_reserve(on, below(3), below(4), NULL));
        if (on != server)
            did(transom_server_set_workers(on, below(3), NULL));
    }
    told(error);
}

/* The log of the library. */
static void take_message(void *user_data, int32_t level, const char *message)
{
    CHECK(user_data == NULL && level >= 1 && level <= 5 && message != NULL);
    if (below(8) == 0)
        transom_responder_is_gone(RESPONDER);
    transom_responder_local_address(RESPONDER, NULL, 0);
}

static void call_server(void)
{
    transom_server *other;
    transom_report report = {.size = below(8) ? sizeof report : below(100)};
    transom_stats stats = {.size = below(8) ? sizeof stats : below(100)};
    transom_connection_info list[2];
    transom_stuck stuck;
    size_t listed;
    static const char *const nowhere[] = {"/nowhere/at/all", NULL};
    char buf[64];
    unsigned turn;
    uint64_t least, most;
    int64_t from, to;
    switch (below(9)) {
    case 0:
        did(transom_server_report(server, &report));
        did(transom_server_stats(server, &stats));
        transom_server_in_state(server, (int32_t)below(9));
        transom_server_expired(server, (int32_t)below(9));
        CHECK(transom_connection_state_name((int32_t)below(9)) && transom_deadline_name((int32_t)below(9)));
        did(transom_server_stuck(server, below(4) ? &stuck : NULL, below(8) ? sizeof stuck : below(400), below(2), &listed));
        did(transom_server_set_load(server, below(2) ? "a part" : text(), below(2), below(9)));
        did(transom_server_connections(server, list, below(8) ? sizeof list[0] : below(200), below(2), &listed));
        CHECK(transom_abi_version() == TRANSOM_ABI_VERSION && transom_version() != NULL);
        did(transom_set_logger(take_message, NULL));
        break;
    case 1: did(transom_server_wait(server, timeout())); break;
    case 6:
        transom_server_listener_name(server, below(3), buf, below(sizeof buf));
        did(transom_server_notify_reloading(server));
        did(transom_server_notify_ready(server));
        did(transom_server_notify_status(server, text()));
        /* Rarely, because a child is started. */
        if (below(500) == 0)
            did(transom_server_hand_over(server, nowhere + below(2), timeout(), below(2) ? &from : NULL, NULL));
        break;
    case 2: transom_server_address(server, below(3), buf, below(sizeof buf)); close(transom_server_listener(server, below(3))); break;
    case 3: transom_server_refused(server, (int32_t)below(40) - 2); transom_server_is_stopping(server); break;
    case 4:
        did(transom_limit_range(text(), &least, below(4) ? &most : NULL));
        did(transom_timeout_range(text(), &from, below(4) ? &to : NULL));
        CHECK(transom_status_text((int32_t)below(99) - 50) && transom_reject_name((int32_t)below(99) - 20));
        transom_has_feature(text());
        did(transom_set_log_level((int32_t)below(8) - 1));
        break;
    case 5:
        other = transom_server_new();
        for (turn = below(20); turn > 0; turn--)
            set_up(other);
        transom_server_free(other);
        break;
    default: set_up(server);
    }
}

static void call(void)
{
    switch (below(13)) {
    case 12: call_sse(); break;
    case 10: case 11: call_websocket(); break;
    case 0: case 1: case 2: call_responder(); break;
    case 3: case 4: case 5: call_writer(); break;
    case 6: call_events(); break;
    case 7: case 8: call_pull(); break;
    default: call_server();
    }
}

/* Reads a request, which is valid until the function that got it has returned. */
/* Makes cookies and keys. */
static void call_cookies(const transom_request *request)
{
    static const char *const attributes[] = {NULL, "", "Secure", "Max-Age=5; Path=/x", "Delete", "nothing"};
    transom_signing_keys *keys = NULL;
    transom_error *error = NULL;
    char field[64];
    size_t len;
    did(transom_signing_keys_new(body, length(), &keys));
    keep(keys);
    did(transom_signing_keys_add_old(KEYS, body, length()));
    did(transom_format_set_cookie(text(), text(), attributes[below(6)], below(2) ? KEYS : NULL, field, below(sizeof field), &len,
                                  below(2) ? &error : NULL));
    told(error);
    transom_request_signed_cookie(request, text(), KEYS);
}

/* Reads the body of a request as a form, which it seldom is. */
static void call_form(const transom_request *request)
{
    transom_multipart *form = NULL;
    transom_part part;
    char buf[64];
    size_t len;
    did(transom_multipart_new(request, &form));
    if (form != NULL) {
        did(transom_multipart_set_limit(form, below(2) ? "parts" : text(), below(9)));
        did(transom_multipart_next(form, timeout(), below(8) ? &part : NULL));
        did(transom_multipart_read(form, below(8) ? buf : NULL, below(sizeof buf), timeout(), &len));
        if (below(4) == 0)
            did(transom_multipart_save(form, "/nowhere/at/all", NULL));
        transom_multipart_error(form);
    }
    transom_multipart_free(form);
}

static void read_request(const transom_request *request)
{
    transom_field list[4];
    char buf[512];
    size_t len;
    uint32_t ids[3];
    transom_tls_info tls = {.size = below(8) ? sizeof tls : below(200)};
    unsigned turn;
    for (turn = below(6); turn > 0; turn--) {
        switch (below(15)) {
        case 12: call_form(request); break;
        case 13: call_cookies(request); break;
        case 0: did(transom_request_read(request, below(8) ? buf : NULL, below(sizeof buf), timeout(), &len)); break;
        case 1: did(transom_request_on_readable(request, maybe(), data(), give_back)); break;
        case 2: transom_request_header(request, text()); did(transom_request_header_at(request, below(9), list)); break;
        case 3: transom_request_headers(request, list, below(5)); transom_request_header_count(request); break;
        case 4: transom_request_param(request, text()); did(transom_request_param_at(request, below(3), list)); break;
        case 5: transom_request_query_value(request, text(), below(3)); did(transom_request_query_fields(request, list, below(5), &len)); break;
        case 6: transom_request_form_value(request, text(), below(3)); did(transom_request_form_fields(request, list, below(5), &len)); break;
        case 7: transom_request_trailer(request, text()); did(transom_request_trailer_at(request, below(3), list)); break;
        case 8: transom_request_trailers(request, list, below(5)); transom_request_cookie(request, text()); break;
        case 9: transom_request_peer_credentials(request, ids, ids + 1, below(2) ? ids + 2 : NULL); transom_request_local_address(request); transom_request_connection_peer(request); transom_request_scheme(request); transom_request_host(request); break;
        case 11: transom_request_tls(request, below(8) ? &tls : NULL); transom_request_tls_peer_certificate(request, below(3)); break;
        case 10:
            transom_bytes_equal(transom_request_path(request), text());
            transom_bytes_equal_ignore_case(transom_request_method(request), text());
            transom_request_query(request), transom_request_target(request), transom_request_peer(request);
            break;
        default:
            transom_request_body(request), transom_request_raw_headers(request), transom_request_value(request);
            transom_request_version(request), transom_request_param_count(request), transom_request_is_stopping(request);
        }
    }
}

static void handle(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    unsigned turn;
    atomic_fetch_add(&handled, 1);
    read_request(request);
    keep(responder);
    for (turn = below(3); turn > 0; turn--) {
        call();
        read_request(request);
    }
}

static bool before(void *user_data UNUSED, transom_request *request, transom_response *response)
{
    read_request(request);
    if (below(2))
        did(transom_request_set_value(request, data(), give_back));
    after(NULL, request, response);
    return below(8) != 0;
}

static void after(void *user_data UNUSED, const transom_request *request, transom_response *response)
{
    transom_field field;
    transom_error *error = NULL;
    unsigned turn;
    if (request)
        transom_request_value(request);
    for (turn = below(4); turn > 0; turn--) {
        switch (below(7)) {
        case 0: did(transom_response_add_header(response, text(), below(8) ? body : NULL, length(), &error)); told(error); break;
        case 1: did(transom_response_set_header(response, text(), below(8) ? "b" : NULL, below(2), &error)); told(error); break;
        case 2: did(transom_response_header_at(response, below(4), &field)); transom_response_header_count(response); break;
        case 3: did(transom_response_remove_header(response, text())); transom_response_header(response, text()); break;
        case 4: did(transom_response_set_body(response, below(8) ? body : NULL, length())); transom_response_body(response); break;
        default: did(transom_response_set_status_code(response, code())); transom_response_status_code(response);
        }
    }
}

static void *caller(void *unused UNUSED)
{
    while (atomic_load(&phase) < 2)
        call();
    return NULL;
}

/* Sends requests, whole and cut short, and reads the answers, some, or none. */
static void *client(void *unused UNUSED)
{
    static const char *const requests[] = {
        "GET /plain?a=1&b=2 HTTP/1.1\r\nHost: test\r\nCookie: a=1\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nbytes",
        "GET /plain HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x85\1\1\1\1idmmn\x89\x80\1\1\1\1\x88\x82\1\1\1\1\2\xe9",
        "POST /stream/1 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n",
        "POST /stream/2 HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n01234567890123456789",
        "POST /plain HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=1&b=2",
        "GET /pull HTTP/1.1\r\nHost: test\r\n\r\n", "POST /pulled HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc",
        "GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n", "nonsense\r\n\r\n"};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {0, 3000};
    char buf[2048];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (atomic_load(&phase) < 2) {
        const char *say = requests[below(10)];
        size_t size = below(4) ? strlen(say) : below((unsigned)strlen(say));
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && send(fd, say, size, MSG_NOSIGNAL) > 0) {
            unsigned turn;
            for (turn = below(4); turn > 0 && recv(fd, buf, sizeof buf, 0) > 0; turn--)
                ;
        }
        if (below(2))
            slam(fd);
        else
            close(fd);
    }
    return NULL;
}

/* One server from its start to its end. */
static void serve(const char *model, long ms)
{
    static const char *const timeouts[] = {"handler", "head", "body", "idle", "write"};
    pthread_t running[CALLERS + CLIENTS];
    unsigned i;
    atomic_store(&phase, 0);
    server = transom_server_new();
    events = transom_events_new();
    OK(transom_server_set_model(server, model, NULL));
    for (i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++)
        did(transom_server_set_timeout(server, timeouts[i], 300, NULL));
    OK(transom_server_on_exchange(server, on_exchange, data(), give_back));
    OK(transom_server_own_answers(server, own_answer, data(), give_back));
    OK(transom_server_wrap(server, before, after, data(), give_back));
    did(transom_server_add(server, route("GET", "/plain", 0), NULL));
    did(transom_server_add(server, route("POST", "/plain", 0), NULL));
    did(transom_server_add(server, route("POST", "/stream/{a}", 1), NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pull", 1), NULL));
    OK(transom_server_add(server, transom_route_new_pull("POST", "/pulled", 2), NULL));
    port = start(server);
    for (i = 0; i < CALLERS + CLIENTS; i++)
        CHECK(pthread_create(&running[i], NULL, i < CALLERS ? caller : client, NULL) == 0);
    pause_ms(ms);
    /* The callers and clients go on while the server stops, and after it has. */
    did(transom_server_stop(server, below(200)));
    did(transom_server_wait(server, below(300)));
    atomic_store(&phase, 2);
    for (i = 0; i < CALLERS + CLIENTS; i++)
        pthread_join(running[i], NULL);
    transom_server_free(server);
    transom_events_free(events);
    /* Only now: until then, handlers that still ran kept handles. */
    for (i = 0; i < KEPT; i++)
        release(atomic_exchange(&kept[i], 0));
    EVENTUALLY(registered == freed);
}

int main(void)
{
    static const char *const models[] = {"event", "threads", "sequential"};
    const char *given = getenv("TRANSOM_TEST_SEED"), *seconds = getenv("TRANSOM_TEST_SECONDS");
    long total = (seconds ? atol(seconds) : 2) * 1000, done, slice = total < 6000 ? total / 3 : 2000;
    unsigned turn = 0;
    FILE *scratch = tmpfile();
    CHECK(scratch != NULL && fputs("a file", scratch) >= 0 && fflush(scratch) == 0);
    file = fileno(scratch);
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    fprintf(stderr, "TRANSOM_TEST_SEED=%llu\n", (unsigned long long)seed);
    /* A busy machine may need more time until something has happened. */
    for (done = 0; done < total || ((handled == 0 || answered == 0) && done < total + PATIENCE_MS); done += slice)
        serve(models[turn++ % 3], slice);
    fclose(scratch);
    fprintf(stderr, "%u calls, %u requests handled, %u answered, %u freed\n", calls, handled, answered, freed);
    CHECK(calls > 0 && handled > 0 && answered > 0);
    return 0;
}
