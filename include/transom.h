/*
 * transom.h - an HTTP server to embed in your own program.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 *     static void hello(void *user_data, const transom_request *request, transom_responder *responder)
 *     {
 *         transom_responder_send_text(responder, 200, "hello");
 *     }
 *
 *     transom_server *server = transom_server_new();
 *     transom_server_route(server, "GET", "/hello", hello, NULL, NULL);
 *     if (transom_server_start(server, "127.0.0.1:8080", NULL) == TRANSOM_OK)
 *         transom_server_wait(server, TRANSOM_FOREVER);
 *     transom_server_free(server);
 *
 * What holds for all of it:
 *
 * ERRORS. Functions that can fail return a transom_status: TRANSOM_OK is 0,
 * errors are negative. Starting and binding fill in a transom_error besides.
 * A comment names the errors that are particular to a function. These are
 * common: TRANSOM_NULL_ARGUMENT (a pointer that must not be NULL is; functions
 * that return no status give NULL, 0, absent bytes or false instead, unless their
 * comment says otherwise),
 * TRANSOM_NOT_UTF8 (of a text that must be), TRANSOM_FORKED (below),
 * TRANSOM_PANIC (a defect in the library; it is caught and nothing is harmed).
 * There is no error state that hides in a thread.
 *
 * OWNERSHIP. What comes from a _new function, or through a pointer to a
 * pointer, is yours until you give it to its _free function, which does nothing
 * with NULL. What you pass in is copied, unless the comment says otherwise. What a
 * function gives you to read (const) belongs to the library. Each callback, but that
 * of transom_set_logger, is registered with a user_data pointer and a free function
 * for it, which may be NULL. The free function runs exactly once, on any thread,
 * after the last call of the callback has returned; if the registration fails, right
 * then.
 *
 * BYTES go out as transom_bytes, and come in as a pointer and a length. Text
 * on the wire is not NUL-terminated and may hold anything. Where the length may
 * be TRANSOM_NUL_TERMINATED, the comment says so. Without length the pointer
 * does not matter.
 *
 * THREADS. The library runs its own: workers for connections, and a pool for
 * handlers, so that they may block; or a thread for each connection; or one for
 * all of them (transom_server_set_model). Every function may be called on any
 * thread, in any callback, at any time; only _free must be the last use of what
 * it frees. No lock is held while a callback runs. A callback may be called by
 * several threads at once (handlers not if the model is "sequential"), and must not leave
 * by longjmp, by a C++ exception, or by ending the thread.
 *
 * ANSWERS. A handler gets a request to read and a responder to answer with,
 * once: in the handler or later, on any thread. Answered twice, too late or
 * never is harmless: TRANSOM_ALREADY_ANSWERED, TRANSOM_GONE, or a 500 for the
 * client when the responder is freed (or a 503 when the timeout "handler" has
 * passed). Free or answer each responder: one that is forgotten stays allocated.
 *
 * EVENTS. A host that wants no callbacks takes requests with
 * transom_server_next_batch, and with transom_events_next it is told what
 * becomes of them: a client that leaves, a deadline that passes, room for more
 * of a body. Both can be waited for in poll(2). A stream that waits for news
 * watches its writer, by transom_writer_on_gone or transom_events_watch_writer,
 * and is freed when its client has left.
 *
 * STOPPING. transom_server_stop begins to stop and never waits, so it can be
 * called in a handler. transom_server_wait waits. transom_server_free does both.
 *
 * SIGNALS. Every thread of the library blocks all signals but those of faults
 * of its own (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), so signal
 * handlers run on your own threads only. The library installs none and leaves
 * SIGPIPE as it is: it writes to sockets on its own threads only, where it does
 * not come through. Functions must not be called in a signal handler; let a
 * thread sigwait, or write to a pipe.
 *
 * FORKING. A server belongs to the process that starts it. A server that was set up,
 * and listens, but was not started may be started in the children of a fork: they
 * share its listeners. (Ask for transom_server_event_fd after the fork, and fork
 * while no other thread uses the server.) Once a server was started, it runs in that
 * process only: in a child that is forked later its functions return TRANSOM_FORKED,
 * freeing it does nothing, and the child cannot start servers of its own.
 *
 * UNLOADING. The library stays loaded after dlclose: its threads need it.
 */


#ifndef TRANSOM_H
#define TRANSOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For a size_t length: the bytes are up to the first NUL. */
#define TRANSOM_NUL_TERMINATED SIZE_MAX

/* For the length of a part of a file: up to its end. */
#define TRANSOM_TO_END UINT64_MAX

/* For a timeout in milliseconds: as long as it takes. */
#define TRANSOM_FOREVER INT64_C(-1)

/* On functions whose status must not be ignored. */
#if defined(__GNUC__)
#define TRANSOM_MUST_USE __attribute__((warn_unused_result))
#else
#define TRANSOM_MUST_USE
#endif


/*
 * The version of the binary interface this header describes. It changes only
 * when programs have to be compiled again.
 */
#define TRANSOM_ABI_VERSION 0

/* The version of the library this header came with: major. */
#define TRANSOM_VERSION_MAJOR 0

/* The version of the library this header came with: minor. */
#define TRANSOM_VERSION_MINOR 1

/* The version of the library this header came with: patch. */
#define TRANSOM_VERSION_PATCH 0

/*
 * What a function returns. 0 is success, errors are negative, and a number is
 * never used for anything else.
 */
typedef enum transom_status {
    /* Done. */
    TRANSOM_OK = 0,
    /* A pointer that must not be NULL was. */
    TRANSOM_NULL_ARGUMENT = -1,
    /* An argument has a value that makes no sense here. */
    TRANSOM_INVALID_ARGUMENT = -2,
    /* The address cannot be listened on: malformed, unknown, not of this host. */
    TRANSOM_BAD_ADDRESS = -3,
    /* Somebody listens on the address already. */
    TRANSOM_ADDRESS_IN_USE = -4,
    /* The system does not let this process do that. */
    TRANSOM_PERMISSION_DENIED = -5,
    /* The system refused a thread, a descriptor or a socket operation. */
    TRANSOM_IO = -6,
    /* The pattern is malformed, stands in the way of another, or has a handler for this method. */
    TRANSOM_BAD_ROUTE = -7,
    /* A header field has a name or a value that must not go on the wire, or is the server's to set. */
    TRANSOM_BAD_HEADER = -8,
    /* The response status is not 200 to 599. */
    TRANSOM_BAD_STATUS_CODE = -9,
    /* Only possible before the server is started, or only once. */
    TRANSOM_ALREADY_STARTED = -10,
    /* Only possible once the server is started. */
    TRANSOM_NOT_STARTED = -11,
    /* Nobody waits for this any more: the client left, a deadline passed, or the server was stopped. */
    TRANSOM_GONE = -12,
    /* The handle was used up before: the request has its answer, the writer its end. */
    TRANSOM_ALREADY_ANSWERED = -13,
    /* No room for the bytes now, and the call was told not to wait. */
    TRANSOM_WOULD_BLOCK = -14,
    /* Waiting here would wait for this very thread. */
    TRANSOM_WOULD_DEADLOCK = -15,
    /* The time was over first. */
    TRANSOM_TIMEOUT = -16,
    /* The server has stopped; there will be no more. */
    TRANSOM_STOPPED = -17,
    /* The buffer is too small for even one. */
    TRANSOM_BUFFER_TOO_SMALL = -18,
    /* This process is a fork of the one that the server runs in. */
    TRANSOM_FORKED = -19,
    /* A defect in the library, caught before it did harm. Please report it. */
    TRANSOM_PANIC = -20,
    /* There is no element of that index. */
    TRANSOM_OUT_OF_RANGE = -21,
    /* A packed record breaks the packing. */
    TRANSOM_MALFORMED = -22,
    /* A text is not UTF-8. */
    TRANSOM_NOT_UTF8 = -23,
    /* The piece goes beyond the length of the body that the header field Content-Length said. */
    TRANSOM_BODY_TOO_LONG = -24,
    /* The body ended before the length that the header field Content-Length said. */
    TRANSOM_BODY_TOO_SHORT = -25,
    /* There is no memory for a copy of the bytes. */
    TRANSOM_NO_MEMORY = -26,
} transom_status;

/* What an event says. More will follow: pass over those that you do not know. */
typedef enum transom_event_kind {
    /*
     * A watched request's client has left, or closed its sending side. An answer is
     * still sent, and reaches a client that has closed only that side.
     */
    TRANSOM_EVENT_GONE = 1,
    /*
     * Nobody waits for the answer to a watched request any more: the timeout "handler"
     * has passed, the server was stopped, or the connection has ended.
     */
    TRANSOM_EVENT_OVER = 2,
    /* A watched writer takes a piece again, or nobody reads any more. */
    TRANSOM_EVENT_WRITABLE = 3,
    /*
     * Nobody reads what a watched writer writes any more: the client has left, or the
     * answer was cut off.
     */
    TRANSOM_EVENT_WRITER_GONE = 4,
    /* Log lines wait: take them with transom_log_next. */
    TRANSOM_EVENT_LOG = 5,
} transom_event_kind;

/*
 * What went wrong, with more than a status says: the functions that take a
 * transom_error** store one there on failure and NULL otherwise; pass NULL if
 * you do not want it. It is yours: free it with transom_error_free. It may be
 * read from any thread.
 */
typedef struct transom_error transom_error;

/*
 * A queue of events. Nothing of the library calls the host for them: the host takes them
 * when it likes, on a thread of its own (transom_events_next), or in its own event loop
 * (transom_events_fd). One queue may watch requests and writers of several servers; a host
 * may have several queues, one for each of its loops, say.
 *
 * The queue holds each kind of event at most once for each thing that is watched, so it
 * is as long as the host has watches, at most.
 */
typedef struct transom_events transom_events;

/*
 * A request: read it with the functions below. It belongs to the library and
 * is valid until both have happened: the handler has returned, and the request
 * has been answered (transom_responder_send, _send_text, _send_owned,
 * _send_file, _start or _free). What the functions give is valid as long, and may be
 * read by several threads at once.
 */
typedef struct transom_request transom_request;

/*
 * The right to answer one request, once. It is yours: answer with it, or free
 * it. It may be used from any thread, also long after the handler returned,
 * and outlives its server harmlessly. It is a number in the shape of a
 * pointer, so one that was used up is found out: TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_responder transom_responder;

/*
 * A server: routes and settings at first, then threads and sockets. All
 * functions may be called from any thread, also at the same time, but for
 * transom_server_free, which must be the last.
 */
typedef struct transom_server transom_server;

/*
 * Fills the body of an answer under way. It is yours: finish it, or free it.
 * It may be used from any thread. Like a responder it is a number in the shape
 * of a pointer: one that was finished or freed is found out.
 */
typedef struct transom_writer transom_writer;

/*
 * Takes one log message: level 1 is error, 2 warning, 3 information, 4 debug,
 * 5 trace. `message` is valid during the call. It runs on any thread, several
 * at once, and must not block.
 */
typedef void (*transom_log_fn)(void *user_data, int32_t level, const char *message);

/*
 * Answers requests. `request` is borrowed (see transom_request), `responder`
 * is owned: answer with it in here, or keep it and answer later from any
 * thread.
 */
typedef void (*transom_handler)(void *user_data,
                                const transom_request *request,
                                transom_responder *responder);

/*
 * Frees what was handed over as `user_data` (for transom_responder_send_owned:
 * the bytes). It runs exactly once: after the last use, at once when the
 * registration fails, on whatever thread that happens. May be NULL.
 */
typedef void (*transom_free_fn)(void *user_data);

/* Something the host wants to be told. */
typedef void (*transom_callback)(void *user_data);

/* What became of a server's requests when it was stopped. */
typedef struct transom_report {
    /* Requests that were answered in full after stopping began. */
    uint64_t finished;
    /* Requests that were cut off at the deadline. */
    uint64_t cut;
    /* Requests under way now. */
    uint64_t pending;
} transom_report;

/*
 * Some bytes that belong to somebody else. Not NUL-terminated. What is absent
 * is {NULL, 0}; what is empty has a pointer that is not NULL.
 */
typedef struct transom_bytes {
    /* The first byte, or NULL. */
    const uint8_t *data;
    /* How many bytes there are. */
    size_t len;
} transom_bytes;

/* One header field of a response; both texts NUL-terminated. */
typedef struct transom_header {
    /* For example "content-type". */
    const char *name;
    /* Its value, for example "text/html". */
    const char *value;
} transom_header;

/* One event. */
typedef struct transom_event {
    /* A transom_event_kind. */
    int32_t kind;
    /* 0. */
    uint32_t reserved;
    /*
     * What the event is about: the token of a request (GONE, OVER), the writer as a number
     * (WRITABLE, WRITER_GONE), 0 (LOG).
     */
    uint64_t token;
} transom_event;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus


/* ---- The library --------------------------------------------------------------------- */

/*
 * TRANSOM_ABI_VERSION of the library that is loaded. If it is not the
 * header's, do not go on.
 */
uint32_t transom_abi_version(void);

/* The version of the library that is loaded, "major.minor.patch". Static. */
const char *transom_version(void);

/*
 * Whether the library was built with that feature: "pull", "unix". False of
 * unknown names and NULL.
 */
bool transom_has_feature(const char *name);

/*
 * Sends the library's log messages to `function`. Without it, and without
 * transom_log_to_events, they go nowhere.
 *
 * Errors: a responder that was freed without an answer, an answer that cannot be sent,
 * a thread that cannot be started. Warnings: a handler that did not answer before the
 * timeout "handler", a request for which there was no thread (once a second at most), a
 * body that broke off. Those about one request name its method, its path, of which they
 * show about 90 bytes, and the pattern of its route. Refused requests are level 4.
 *
 * This holds for the whole process and until it ends, so `user_data` is never freed. The
 * first call wins: TRANSOM_ALREADY_STARTED afterwards. It takes nothing from
 * transom_log_next, nor that from it.
 */
transom_status transom_set_logger(transom_log_fn function, void *user_data);

/*
 * Keeps the library's log messages up to `level` (1 to 5, see transom_log_fn) for
 * transom_log_next, and tells `events` when there are some: TRANSOM_EVENT_LOG. `level` 0
 * ends that for these events. The messages are those of the whole process, and kept once:
 * of several events that are told of a message, whoever comes first takes it. The highest
 * level that was asked for counts.
 *
 * Up to 1024 messages are kept. Beyond that new ones are lost, and a warning stands in
 * their place that says how many.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT of another level.
 */
transom_status transom_log_to_events(transom_events *events, int32_t level);

/*
 * Takes the oldest log message that is kept: sets `level`, and writes its text to `buf`
 * and its length to `len`. The text is UTF-8 and not NUL-terminated; it may hold any
 * character but line ends and other controls, which are escaped.
 *
 * Errors: TRANSOM_TIMEOUT if there is none; TRANSOM_BUFFER_TOO_SMALL, with `len` set to
 * what it needs, 4096 at most (it stays).
 */
TRANSOM_MUST_USE
transom_status transom_log_next(int32_t *level,
                                uint8_t *buf,
                                size_t cap,
                                size_t *len);


/* ---- Errors -------------------------------------------------------------------------- */

/*
 * The meaning of a status in a few English words, for messages and logs.
 * Takes any number; never NULL. The text is static: do not free it.
 */
const char *transom_status_text(int32_t status);

/* The status that the function returned with it; TRANSOM_OK of NULL. */
transom_status transom_error_code(const transom_error *error);

/*
 * One English sentence, with the address, pattern or setting it is about.
 * Valid until the error is freed; never NULL, and "" of NULL.
 */
const char *transom_error_message(const transom_error *error);

/* The errno behind it; 0 if the system was not involved. */
int32_t transom_error_errno(const transom_error *error);

/* Frees an error. NULL is fine. */
void transom_error_free(transom_error *error);


/* ---- A server: made and freed -------------------------------------------------------- */

/* A server without routes. NULL only if the library has a defect. */
transom_server *transom_server_new(void);

/*
 * Stops the server if it runs (as transom_server_stop, with the timeout "stop"
 * as the deadline, 10 s), waits for its threads, at most 200 ms past the
 * deadline, and frees it and all user data. NULL is fine.
 *
 * Nothing else may be using the server by then, its own handlers excepted:
 * threads that pull or wait must have ended. A handler that is not done when
 * the deadline has passed, or that calls this itself, is not waited for: the
 * rest happens when it has returned, on a thread of the library, which runs the
 * thread hooks. Of a server that was started before a fork this does nothing in the
 * child.
 */
void transom_server_free(transom_server *server);


/* ---- A server: who answers what ------------------------------------------------------ */

/*
 * Calls `handler` for requests of that method whose path matches the pattern.
 * It runs on the library's pool of blocking threads, so it may block; when as
 * many as the limits "pool_threads" and "pool_queue" allow are busy and
 * waiting, the answer is 503. In the models without a pool it runs on the
 * connection's own thread and may block too: see transom_server_set_model.
 *
 * `method` is case-sensitive; NULL or "*" is any without a route of its own.
 * GET answers HEAD too. In a pattern, {name} stands for one segment and, at
 * the end, {*name} for all that is left, which may be empty: "/users/{id}",
 * "/files/{*path}". Each method of a path may name its parameters otherwise.
 *
 * Errors: TRANSOM_BAD_ROUTE if no request could match, or if the route is there
 * already (transom_server_route_error says why, and shows the right form),
 * TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_route(transom_server *server,
                                    const char *method,
                                    const char *pattern,
                                    transom_handler handler,
                                    void *user_data,
                                    transom_free_fn free_fn);

/*
 * As transom_server_route, but `handler` runs right on the thread that serves
 * the connection, in every model: the shortest way, for handlers that never
 * block. Everything else on that thread waits for it.
 */
transom_status transom_server_route_inline(transom_server *server,
                                           const char *method,
                                           const char *pattern,
                                           transom_handler handler,
                                           void *user_data,
                                           transom_free_fn free_fn);

/*
 * Calls `handler`, where transom_server_route would, for requests whose path no
 * route matches. A second call replaces the first. Without it they get 404.
 */
transom_status transom_server_fallback(transom_server *server,
                                       transom_handler handler,
                                       void *user_data,
                                       transom_free_fn free_fn);

/*
 * Puts requests for that route into the server's queue, to be fetched with
 * transom_server_next_batch. `route_id` comes back in the record.
 */
transom_status transom_server_route_pull(transom_server *server,
                                         const char *method,
                                         const char *pattern,
                                         uint32_t route_id);

/* The same for requests whose path no route matches. */
transom_status transom_server_fallback_pull(transom_server *server, uint32_t route_id);

/*
 * Why a route of this server was last refused with TRANSOM_BAD_ROUTE, in a
 * sentence; NULL if none was, or it was told already. It is yours: free it
 * with transom_error_free.
 */
transom_error *transom_server_route_error(transom_server *server);


/* ---- A server: settings, before it is started ---------------------------------------- */

/*
 * How the server drives its connections, by name: "event" (the default),
 * "threads" or "sequential". Handlers, limits, timeouts and stops are the same
 * in each. What differs is which thread runs handlers, and what clients wait for.
 *
 * "event": a few workers drive all connections and run the inline handlers; the
 * other handlers run on a pool. A client waits for no other, unless an inline
 * handler holds its worker.
 *
 * "threads": each connection has a thread, which runs all its handlers, those
 * that may block among them. With as many connections as the limit
 * "connection_threads" allows, further clients wait in the kernel's backlog,
 * and one connection after another makes room for them: it is closed after its
 * answer, or when it has asked nothing for as long as the timeout "drain" says.
 *
 * "sequential": one thread serves one connection at a time and runs all
 * handlers, those that may block among them, so that no two ever run at once.
 * All other clients wait in the kernel's backlog (the limit "backlog" is its
 * length), and the connection being served makes room for them in the same way.
 *
 * In "threads" and "sequential", a handler that blocks keeps the connection's
 * thread from the connection: that the client has left, that the timeout
 * "handler" or the deadline of a stop has passed, is seen when it has returned.
 * That does not concern handlers that return, to answer later from a thread of
 * yours. Nor may a handler wait for room there: see transom_writer_write.
 *
 * Both are there on Linux only; elsewhere the start fails with
 * TRANSOM_INVALID_ARGUMENT.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT of any other name (transom_server_setting_error
 * says why), TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_model(transom_server *server, const char *name);

/*
 * How many threads serve connections in the model "event"; by default one for
 * each processor. Handlers that may block have threads of their own, see
 * transom_server_route.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT unless it is 1 to 1024
 * (transom_server_setting_error says so), TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_workers(transom_server *server, size_t workers);

/*
 * The mode of the files of Unix sockets that the server binds, 0777 at most:
 * who may connect, such as 0660 for the owner and the group (unix(7)). Without
 * it, it is the umask's affair. For sockets that are bound after this call the
 * mode holds before any client can connect; for those that were bound before,
 * from the start of the server on. Sockets that the server was given, and
 * abstract names ("unix:@name"), have none.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT of more than 0777
 * (transom_server_setting_error says so), TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_unix_mode(transom_server *server, uint32_t mode);

/*
 * Sets one limit on what clients can make the server do. Name, meaning,
 * default:
 *
 *     "target"                   request target, bytes                    8192
 *     "head"                     request head, bytes                     32768
 *     "headers"                  header fields, count                      100
 *     "body"                     request body, bytes                  10485760
 *     "chunk_extensions"         extensions of one chunk, bytes           4096
 *     "trailers"                 trailer section, bytes                   8192
 *     "connections"              connections at once                     10000
 *     "connections_per_address"  of them from one IP address; 0: any         0
 *     "head_rate"                bytes a second that a head must come
 *                                with, after ten seconds; 0: any           100
 *     "body_rate"                bytes a second that a body must come
 *                                with, while it is waited for; 0: any      500
 *     "write_rate"               bytes a second of a response that a
 *                                client must take, while it is waited
 *                                for; 0: any                               500
 *     "bodies"                   bytes of request bodies in memory, in
 *                                all connections together            268435456
 *     "output"                   output waiting in a connection, bytes   65536
 *     "drain"                    unread body read to keep a
 *                                connection, bytes                      262144
 *     "pool_threads"             threads for handlers that may       2 for each processor,
 *                                block, in the model "event"         8 at least
 *     "pool_queue"               requests waiting for those threads,
 *                                and as many in the pull queue            1024
 *     "connection_threads"       threads that serve connections,
 *                                in the model "threads"                    512
 *     "thread_stack"             stack of each of those, bytes;
 *                                a handler that needs more ends
 *                                the process                           2097152
 *     "backlog"                  connections that the kernel holds
 *                                until they are accepted; 0: 1024
 *                                for sockets that the server binds,
 *                                as it was for those it was given            0
 *
 * transom_limit_range tells which values a limit may have.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT of an unknown name or a value that is out of
 * range (transom_server_setting_error says which there are), TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_limit(transom_server *server, const char *name, uint64_t value);

/*
 * Tells which values the limit `name` may have. `least` and `most` may be NULL.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no limit of that name.
 */
transom_status transom_limit_range(const char *name, uint64_t *least, uint64_t *most);

/*
 * Tells which values the timeout `name` may have, in milliseconds, besides
 * TRANSOM_FOREVER. `least` and `most` may be NULL.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no timeout of that name.
 */
transom_status transom_timeout_range(const char *name, int64_t *least, int64_t *most);

/*
 * Why a model, a number of workers, a limit or a timeout of this server was last
 * refused with TRANSOM_INVALID_ARGUMENT, in a sentence that has the name, the
 * value and the range, or the names that there are; NULL if none was, or it was
 * told already. It is yours: free it with transom_error_free.
 */
transom_error *transom_server_setting_error(transom_server *server);

/*
 * Sets one timeout, in milliseconds; TRANSOM_FOREVER turns it off:
 *
 *     "head"     a whole request head, from its first byte           10000
 *     "idle"     a connection without a request                      60000
 *     "body"     a request body that comes slower than "body_rate"   30000
 *     "write"    a response taken slower than "write_rate"           30000
 *     "handler"  an answer, from the call of the handler             60000
 *     "drain"    dropping the rest of a body to keep a connection     1000
 *     "linger"   closing so that the last answer is read, in all     30000
 *     "linger_idle"
 *                the same, without a byte from the client             5000
 *     "stop"     requests under way when the server is freed         10000
 *
 * 0 makes sense for "drain", "linger", "linger_idle" and "stop" only: the others
 * would end everything at once. transom_timeout_range tells which values a timeout may have.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT of an unknown name or a time that is out of
 * range (transom_server_setting_error says which there are), TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_timeout(transom_server *server,
                                          const char *name,
                                          int64_t timeout_ms);

/*
 * Runs `start` first and `stop` last on every thread of the library that runs
 * handlers, callbacks or free functions of this server, for hosts that have to
 * register theirs (interpreters, virtual machines, allocators). Either may be NULL.
 * A second call replaces the first. `free_fn` itself runs after the last `stop`, so
 * perhaps on a thread that has ended for the host; and the log function, which is no
 * server's, on any thread.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_thread_hooks(transom_server *server,
                                               transom_callback start,
                                               transom_callback stop,
                                               void *user_data,
                                               transom_free_fn free_fn);


/* ---- A server: its life -------------------------------------------------------------- */

/*
 * Listens on an address, before the server is started: clients can connect,
 * and are served from the start on. May be called several times.
 *
 * "127.0.0.1:8080", "[::1]:0" (port 0: the system picks one, see
 * transom_server_port), "localhost:8080", "[fe80::1%eth0]:8080" (a link-local
 * address with its interface), "unix:/run/app.sock" (see
 * transom_server_set_unix_mode), or on Linux "unix:@name", an abstract name
 * (unix(7)); a file of such a name is "unix:./@name".
 *
 * Errors: TRANSOM_BAD_ADDRESS, TRANSOM_ADDRESS_IN_USE,
 * TRANSOM_PERMISSION_DENIED, TRANSOM_IO, TRANSOM_ALREADY_STARTED.
 */
TRANSOM_MUST_USE
transom_status transom_server_bind(transom_server *server,
                                   const char *address,
                                   transom_error **error);

/*
 * Adds a listening TCP or Unix socket that the program was started with. It
 * belongs to the server from then on; on failure it stays yours.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if it is not a listening socket,
 * TRANSOM_ALREADY_STARTED.
 */
TRANSOM_MUST_USE
transom_status transom_server_listen_fd(transom_server *server,
                                        int32_t fd,
                                        transom_error **error);

/*
 * Listens on `address` (see transom_server_bind), and on what was added
 * before, and starts the server's threads. When it returns TRANSOM_OK, clients
 * can connect. `address` may be NULL if one was added before. Handlers may run
 * before it returns, and stop the server.
 *
 * After a failure it may be tried again, with another address for example.
 * (After TRANSOM_IO, what was listened on before no longer is.)
 *
 * Errors: TRANSOM_BAD_ADDRESS, TRANSOM_ADDRESS_IN_USE,
 * TRANSOM_PERMISSION_DENIED, TRANSOM_IO, TRANSOM_INVALID_ARGUMENT (nothing to
 * listen on, or a setting that makes no sense), TRANSOM_ALREADY_STARTED,
 * TRANSOM_FORKED in a fork of a process in which a server had been started.
 */
TRANSOM_MUST_USE
transom_status transom_server_start(transom_server *server,
                                    const char *address,
                                    transom_error **error);

/*
 * The TCP port the server listens on, the first if there are several. 0 if it
 * was not started, or only listens on Unix sockets.
 */
uint16_t transom_server_port(const transom_server *server);

/*
 * Writes the address at that place, counted from 0, as text to `buf`, in the
 * order they were added: "127.0.0.1:8080", "unix:/run/app.sock". As with
 * snprintf, at most `cap` bytes are written, the last of them a NUL, and the
 * length of the whole text is returned, without the NUL. 0 if there is no such
 * address or the server was not started.
 */
size_t transom_server_address(const transom_server *server, size_t index, char *buf, size_t cap);

/*
 * Begins to stop and returns at once: listening ends, idle connections are
 * closed, and requests under way have `deadline_ms` (or TRANSOM_FOREVER) until
 * they are cut off. May be called anywhere, also in handlers, but not in a
 * signal handler. A second call may only shorten the time.
 *
 * Errors: TRANSOM_NOT_STARTED, TRANSOM_INVALID_ARGUMENT of a negative time.
 */
transom_status transom_server_stop(transom_server *server, int64_t deadline_ms);

/*
 * Waits until the server has stopped and its threads have ended. It does not
 * stop it: that is for transom_server_stop, called elsewhere or before.
 *
 * Errors: TRANSOM_TIMEOUT, TRANSOM_NOT_STARTED, TRANSOM_WOULD_DEADLOCK on the
 * server's own threads, TRANSOM_INVALID_ARGUMENT of a negative time.
 */
transom_status transom_server_wait(transom_server *server, int64_t timeout_ms);

/*
 * Says what became of requests under way when the server was asked to stop;
 * at any time, final once it has stopped.
 *
 * Errors: TRANSOM_NOT_STARTED.
 */
transom_status transom_server_report(const transom_server *server, transom_report *out);


/* ---- A request: to read, in a handler and until it is answered ----------------------- */

/* The method, for example "GET". Case counts. */
transom_bytes transom_request_method(const transom_request *request);

/*
 * The path without the query, still percent-encoded. The path, the query and the
 * target are ASCII: characters beyond it, which must come as UTF-8, are
 * percent-encoded here.
 */
transom_bytes transom_request_path(const transom_request *request);

/*
 * The query: what follows the first '?' of the target, still percent-encoded;
 * absent without a '?'.
 */
transom_bytes transom_request_query(const transom_request *request);

/*
 * The whole request target, still percent-encoded: path and query, or the
 * absolute form that clients of proxies send.
 */
transom_bytes transom_request_target(const transom_request *request);

/* The whole body, decoded; empty without one. */
transom_bytes transom_request_body(const transom_request *request);

/*
 * All header fields as "name: value" lines, each ended by CR LF, in the order
 * they came.
 */
transom_bytes transom_request_raw_headers(const transom_request *request);

/*
 * Who sent it, as text: "127.0.0.1:1234", "[::1]:1234", or "unix". This is the
 * other end of the connection, never something a header claims.
 */
transom_bytes transom_request_peer(const transom_request *request);

/* 10 for HTTP/1.0, 11 for HTTP/1.1; 0 for NULL. */
int32_t transom_request_version(const transom_request *request);

/*
 * The value of the first header field of that name; absent if there is none.
 * Names compare without regard to case.
 */
transom_bytes transom_request_header(const transom_request *request, const char *name);

/* How many header fields there are, repeated names counted each time. */
size_t transom_request_header_count(const transom_request *request);

/*
 * The header field at that place, counted from 0, in the order they came: its
 * name as it was written, and its value.
 *
 * TRANSOM_OUT_OF_RANGE beyond the last; name and value are then absent.
 */
transom_status transom_request_header_at(const transom_request *request,
                                         size_t index,
                                         transom_bytes *name,
                                         transom_bytes *value);

/*
 * What the {name} of the route's pattern stands for in this request,
 * percent-decoded byte for byte: it may hold a NUL or what is not UTF-8. Absent
 * if the pattern has no such name.
 */
transom_bytes transom_request_param(const transom_request *request, const char *name);

/* How many parameters the route's pattern has. */
size_t transom_request_param_count(const transom_request *request);

/*
 * The parameter at that place, counted from 0, in the pattern's order: name
 * and value, as transom_request_param gives it.
 *
 * TRANSOM_OUT_OF_RANGE beyond the last; name and value are then absent.
 */
transom_status transom_request_param_at(const transom_request *request,
                                        size_t index,
                                        transom_bytes *name,
                                        transom_bytes *value);


/* ---- A responder: to answer with, once, on any thread -------------------------------- */

/*
 * Answers with a text, as "text/plain; charset=utf-8".
 *
 * Errors: as transom_responder_send, and TRANSOM_NOT_UTF8.
 */
transom_status transom_responder_send_text(transom_responder *responder,
                                           uint16_t status,
                                           const char *text);

/*
 * Answers: status (200 to 599), header fields, body. Everything is copied.
 * `len` may be TRANSOM_NUL_TERMINATED. Each field is a line of its own: two
 * "set-cookie" are both sent.
 *
 * The server adds Date, unless it is among the fields, and the fields that
 * frame the response. Of those a host may set Content-Length, to the length
 * that the body has (a longer body is cut off there, a shorter one ends the
 * connection, and the log says so; to HEAD it is the length GET would have);
 * "Connection: close"; and Upgrade in a 426. With 304,
 * Content-Encoding, Content-Language and Content-Range are left out.
 *
 * Errors, after which the request may still be answered: TRANSOM_BAD_HEADER
 * (the log says why) if a field is malformed or not the host's to set
 * (Transfer-Encoding, Keep-Alive, TE, Trailer, Proxy-Connection, other
 * options of Connection, a Content-Length that is no number or in a 204);
 * TRANSOM_BAD_STATUS_CODE, TRANSOM_NULL_ARGUMENT, TRANSOM_NO_MEMORY.
 * Otherwise the responder is used up: TRANSOM_GONE if nobody waits for the
 * answer any more (the timeout "handler" has passed, the server was stopped, or
 * it has seen that the connection is broken), TRANSOM_ALREADY_ANSWERED if it was
 * used up before.
 *
 * TRANSOM_OK says that the answer was taken and will be sent, not that it arrives:
 * a client may leave meanwhile, or have left without the server having seen it.
 */
transom_status transom_responder_send(transom_responder *responder,
                                      uint16_t status,
                                      const transom_header *headers,
                                      size_t header_count,
                                      const uint8_t *body,
                                      size_t len);

/*
 * As transom_responder_send, but the body is not copied: it must stay as it is
 * until `free_fn` runs, on any thread, exactly once: when it was sent, or
 * cannot be, and on every error.
 */
transom_status transom_responder_send_owned(transom_responder *responder,
                                            uint16_t status,
                                            const transom_header *headers,
                                            size_t header_count,
                                            const uint8_t *body,
                                            size_t len,
                                            transom_free_fn free_fn,
                                            void *user_data);

/*
 * Answers with a body in pieces: sends status and header fields, and gives the
 * writer for the body, which is yours. With a header field Content-Length the
 * body has that many bytes, and the writer is held to it; without, the length
 * need not be known beforehand.
 *
 * To HEAD, and with the statuses 204, 205 and 304, no body is sent. The writer
 * takes what is written, for 30 seconds, and drops it; that is no error.
 *
 * Errors: as transom_responder_send; `out` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_responder_start(transom_responder *responder,
                                       uint16_t status,
                                       const transom_header *headers,
                                       size_t header_count,
                                       transom_writer **out);

/*
 * Gives a request up. If it was not answered, the client gets a 500 and the
 * log a line; if it was, nothing happens. NULL is fine.
 */
void transom_responder_free(transom_responder *responder);

/*
 * Whether the client has left, or closed its sending side, or nobody waits for
 * the answer any more for another reason. Also true of a used-up responder and
 * NULL. Ask during long work; there is no need to before answering: a client that
 * has only closed its sending side gets its answer.
 */
bool transom_responder_is_gone(const transom_responder *responder);

/*
 * Calls `function`, once, if the client leaves before it was given the whole answer;
 * at once, in this call, if it has left already. That is:
 *
 * - before the answer: the client closes its sending side, or the connection breaks.
 *   A client that closes both ways looks like one that only closes its sending side
 *   and reads on, until something is sent; so answer all the same.
 * - after transom_responder_start, until the writer is finished or freed and all is
 *   sent: the same. Whether such a client still reads, transom_writer_on_gone tells.
 * - when the server is stopped: if the request is cut off at the deadline of the stop,
 *   not when the stop begins.
 *
 * It is not called when the timeout "handler" passes; transom_responder_is_gone and
 * transom_events_watch_request tell of that. It runs on a thread that serves other
 * connections and must not block. The request must be answered or freed all the same.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED; `function` is then not called.
 */
transom_status transom_responder_on_gone(transom_responder *responder,
                                         transom_callback function,
                                         void *user_data,
                                         transom_free_fn free_fn);

/*
 * As transom_responder_send, but the body is `length` bytes of an open regular
 * file, from `offset` on; with TRANSOM_TO_END all that there are from there (of a
 * file of /proc or /sys, whose size says nothing, up to 4 MiB from 0). The
 * system sends them from its cache, without a copy. The descriptor is the library's
 * from this call on, whatever comes of it: it is closed when the file was sent or
 * cannot be. Its file position does not matter and does not change. If the file is
 * found shorter while it is sent, the connection ends before the announced length.
 *
 * Errors besides: TRANSOM_INVALID_ARGUMENT if `fd` is not an open descriptor of a
 * regular file or the file does not reach that far, TRANSOM_IO. After these too the
 * request may still be answered.
 */
transom_status transom_responder_send_file(transom_responder *responder,
                                           uint16_t status,
                                           const transom_header *headers,
                                           size_t header_count,
                                           int32_t fd,
                                           uint64_t offset,
                                           uint64_t length);


/* ---- A writer: for a body in pieces -------------------------------------------------- */

/*
 * Sends a piece of the body; it is copied. If the client takes less than is
 * written, this waits for room, at most `timeout_ms`: 0 is not at all,
 * TRANSOM_FOREVER for as long as it takes (the timeout "write" ends it). On an
 * error nothing of the piece is sent. `len` may be TRANSOM_NUL_TERMINATED.
 *
 * Errors: TRANSOM_WOULD_BLOCK and TRANSOM_TIMEOUT, after which it may be tried
 * again (transom_writer_on_writable tells when); TRANSOM_NO_MEMORY likewise;
 * TRANSOM_BODY_TOO_LONG if the piece goes beyond the Content-Length of the response,
 * after which less may be written; TRANSOM_GONE if nobody reads any more
 * (free the writer);
 * TRANSOM_WOULD_DEADLOCK if it would have to wait in an inline handler, or in
 * the models "threads" and "sequential" in any, since what it waits for is that
 * very thread; TRANSOM_ALREADY_ANSWERED after the end.
 */
TRANSOM_MUST_USE
transom_status transom_writer_write(transom_writer *writer,
                                    const uint8_t *data,
                                    size_t len,
                                    int64_t timeout_ms);

/*
 * Ends the body: all of it has been written. The writer is freed, whatever this
 * returns.
 *
 * TRANSOM_OK says that the library has the whole body to send, not that the client
 * has it.
 *
 * Errors: TRANSOM_BODY_TOO_SHORT if the response has a Content-Length and less was
 * written: the connection is then closed, so that the client can tell;
 * TRANSOM_GONE if the client left, or the answer was cut off, before all that was
 * written was sent; TRANSOM_ALREADY_ANSWERED. While another thread is still writing,
 * the body ends with its piece, and this returns TRANSOM_OK.
 */
transom_status transom_writer_finish(transom_writer *writer);

/*
 * Gives a body up: unless it was finished, the answer is cut off, so that the
 * client does not take a part for the whole. A thread that waits in
 * transom_writer_write meanwhile waits on, and the end comes after its piece.
 * NULL is fine.
 */
void transom_writer_free(transom_writer *writer);


/* ---- Pulling: requests in batches, on the host's own threads ------------------------- */

/*
 * Fetches requests of pull routes: waits until one is queued, and fills `buf`
 * with the records of up to `max` that are queued then; it never waits for
 * more. `count` is set to their number, `len` to the bytes used. Several
 * threads may call it at the same time.
 *
 * Errors: TRANSOM_TIMEOUT; TRANSOM_STOPPED when the server has stopped;
 * TRANSOM_BUFFER_TOO_SMALL, with `len` set to what the first request needs
 * (it stays queued); TRANSOM_INVALID_ARGUMENT if `max` is 0. `count` is 0
 * then.
 *
 * A record's header is 56 bytes in the machine's byte order:
 *
 *     uint32_t record_len    with header and padding; a multiple of 8
 *     uint32_t route_id      as registered
 *     uint64_t token         answer with it
 *     uint32_t method_len, target_len, path_len, query_len,
 *              headers_len, peer_len
 *     uint32_t param_count
 *     uint16_t version       10 or 11
 *     uint16_t flags         bit 0: there is a query, if only an empty one
 *     uint64_t body_len
 *
 * Behind it stand, without padding between: method; target, path and query,
 * still percent-encoded and in ASCII; headers ("name: value" lines, each ended by CR LF); peer;
 * `param_count` times { uint32_t name_len, value_len; name; value }; body.
 * Then padding to 8, so in a buffer aligned to 8 each record is. Requests of
 * 2 GiB and more do not fit a record and get 413.
 */
TRANSOM_MUST_USE
transom_status transom_server_next_batch(transom_server *server,
                                         uint8_t *buf,
                                         size_t cap,
                                         uint32_t max,
                                         int64_t timeout_ms,
                                         uint32_t *count,
                                         size_t *len);

/*
 * Answers the first request that is queued with 503 if its record needs more than `cap`
 * bytes: for a host that has no memory for as large a buffer as next_batch asked for.
 * Without such a request nothing happens.
 */
transom_status transom_server_refuse_larger(transom_server *server, size_t cap);

/*
 * Answers requests by their tokens, with the records in `buf`. Each record's
 * own outcome goes to `results`, in order, as far as `result_count` reaches;
 * `done` is set to the number of records dealt with.
 *
 * An outcome is TRANSOM_OK, TRANSOM_ALREADY_ANSWERED, TRANSOM_GONE, or
 * TRANSOM_BAD_HEADER, TRANSOM_BAD_STATUS_CODE or TRANSOM_NO_MEMORY, in which
 * cases the client got a 500 instead.
 *
 * Errors: TRANSOM_MALFORMED if the packing is broken; the records before that
 * place are dealt with. TRANSOM_OK says nothing of the outcomes.
 *
 * A record's header is 32 bytes in the machine's byte order:
 *
 *     uint32_t record_len    with header and padding; a multiple of 8
 *     uint16_t status
 *     uint16_t flags         0
 *     uint64_t token
 *     uint32_t headers_len
 *     uint32_t reserved      0
 *     uint64_t body_len
 *
 * Behind it stand, without padding between: headers ("name: value" lines,
 * each ended by CR LF; which fields they may be, transom_responder_send says);
 * body. Then padding to 8. What does not fit, in 4 GiB, is for
 * transom_token_responder.
 */
TRANSOM_MUST_USE
transom_status transom_server_respond_batch(transom_server *server,
                                            const uint8_t *buf,
                                            size_t len,
                                            int32_t *results,
                                            uint32_t result_count,
                                            uint32_t *done);

/*
 * A descriptor for poll(2) and its kin: readable while requests are queued,
 * and from when the server has stopped. Only poll it: next_batch drains it.
 * With EPOLLET, call that until it gives TRANSOM_TIMEOUT: what was left in the
 * queue is no new edge. It belongs to the server and is closed with it. -1 if
 * it cannot be had.
 */
int32_t transom_server_event_fd(transom_server *server);

/*
 * The responder of a pulled request, to stream the answer, to be told when
 * the client leaves, or to drop it. It and the token stand for the same: what
 * is answered by one cannot be answered by the other. NULL of 0.
 */
transom_responder *transom_token_responder(uint64_t token);


/* ---- Events: what is told on the host's own threads ---------------------------------- */

/* A queue of events that watches nothing yet. NULL only if the library has a defect. */
transom_events *transom_events_new(void);

/*
 * Frees it; its events are told no more, and its descriptor is closed. Nobody else may be
 * using it: end the threads that wait in transom_events_next with transom_events_close.
 * What it watches may outlive it. NULL is fine, and in a forked child nothing happens.
 */
void transom_events_free(transom_events *events);

/*
 * Ends it: every transom_events_next returns TRANSOM_STOPPED, now and from now on, and
 * the descriptor is readable.
 */
transom_status transom_events_close(transom_events *events);

/*
 * Takes events: waits until there is one, at most `timeout_ms` (0 is not at all,
 * TRANSOM_FOREVER for as long as it takes), and writes up to `max` that are there then
 * to `out`, in the order in which they happened. `count` is set to their number. Several
 * threads may call it at the same time; each event is told to one of them.
 *
 * An event may be out of date when it is read: another thread may have answered the
 * request meanwhile. To act on it is harmless then, as it always is.
 *
 * Errors: TRANSOM_TIMEOUT; TRANSOM_STOPPED after transom_events_close;
 * TRANSOM_INVALID_ARGUMENT if `max` is 0 or the time negative. `count` is 0 then.
 */
TRANSOM_MUST_USE
transom_status transom_events_next(transom_events *events,
                                   transom_event *out,
                                   uint32_t max,
                                   int64_t timeout_ms,
                                   uint32_t *count);

/*
 * A descriptor for poll(2) and its kin: readable while events wait. Only poll it:
 * transom_events_next drains it. With EPOLLET, call that until it gives TRANSOM_TIMEOUT.
 * It belongs to the events and is closed with them. -1 if it cannot be had.
 */
int32_t transom_events_fd(transom_events *events);

/*
 * Whether nobody reads any more: the client has left, or the answer was cut off. What is
 * written then goes nowhere (TRANSOM_GONE), and the writer is to be freed. Also true of a
 * writer that was finished or freed, and of NULL.
 *
 * A client that leaves is noticed within a second, though nothing is written. One that
 * only closes its sending side, and reads on, has not left. Also true of a body that is
 * not sent (see transom_responder_start), of which pieces are taken all the same.
 */
bool transom_writer_is_gone(const transom_writer *writer);

/*
 * Calls `function` once, when the writer takes a piece again after TRANSOM_WOULD_BLOCK,
 * or nobody reads any more: write then. At once, in this call, if that is so now. A piece
 * of any size is taken whole while less than 64 KiB wait.
 *
 * It runs on a thread that serves connections and must not block. It is not called for
 * a writer that was finished or freed meanwhile.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED of a writer that was finished or freed; `function` is
 * then not called.
 */
transom_status transom_writer_on_writable(transom_writer *writer,
                                          transom_callback function,
                                          void *user_data,
                                          transom_free_fn free_fn);

/*
 * Calls `function` when nobody reads any more, once; at once, in this call, if that is so
 * now. A stream that waits for news ends with its client that way: free the writer.
 *
 * It runs on a thread that serves connections and must not block. It is not called for
 * a writer that was finished or freed meanwhile.
 *
 * Errors: as transom_writer_on_writable.
 */
transom_status transom_writer_on_gone(transom_writer *writer,
                                      transom_callback function,
                                      void *user_data,
                                      transom_free_fn free_fn);

/*
 * Watches a request, pulled or not, by the token (a responder as a number is one too):
 * TRANSOM_EVENT_GONE comes when its client leaves or closes its sending side,
 * TRANSOM_EVENT_OVER when nobody waits for the answer any more; each at once if that is
 * so now. Neither comes once the request is answered; that an answer under way is cut off
 * is told by its writer. The first call for a request counts, others change nothing.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED; no event comes then.
 */
transom_status transom_events_watch_request(transom_events *events, uint64_t token);

/*
 * Watches a writer: TRANSOM_EVENT_WRITER_GONE comes once, when nobody reads any more; at
 * once if that is so now. See transom_writer_is_gone.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED of a writer that was finished or freed.
 */
transom_status transom_events_watch_writer(transom_events *events, transom_writer *writer);

/*
 * Asks to be told when a writer takes a piece again, after TRANSOM_WOULD_BLOCK:
 * TRANSOM_EVENT_WRITABLE comes once for each call that was not yet followed by it; at once
 * if there is room now, or nobody reads any more.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED of a writer that was finished or freed.
 */
transom_status transom_events_await_room(transom_events *events, transom_writer *writer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TRANSOM_H */
