/*
 * transom.h - an embeddable HTTP server.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 *     static void hello(void *user_data, const transom_request *request, transom_responder *responder)
 *     {
 *         transom_responder_send_text(responder, 200, "hello");
 *     }
 *
 *     transom_server *server = transom_server_new();
 *     transom_server_route(server, "GET", "/hello", hello, NULL, NULL, NULL);
 *     if (transom_server_start(server, "127.0.0.1:8080", NULL) == TRANSOM_OK)
 *         transom_server_wait(server, TRANSOM_FOREVER);
 *     transom_server_free(server);
 *
 * The program that embeds the library is called the host. These rules hold for every
 * function:
 *
 * ERRORS. A function that can fail returns a transom_status: TRANSOM_OK is 0, errors are
 * negative. A function with a transom_error ** also stores an error there, which says in a
 * sentence what was refused and why. With NULL, the log gets the sentence if the program made
 * a mistake, such as a malformed route (transom_set_logger). The comment of a function names
 * the errors that are particular to it. Any function can also return these:
 *
 *     TRANSOM_NULL_ARGUMENT  a pointer that must not be NULL is NULL
 *     TRANSOM_NOT_UTF8       a text that must be UTF-8 is not
 *     TRANSOM_FORKED         see FORKING
 *     TRANSOM_PANIC          a defect in the library; it was caught, and does no harm
 *
 * In these cases a function that returns no status returns NULL, 0, absent bytes or false,
 * unless its comment says otherwise. No thread keeps a "last error".
 *
 * OWNERSHIP. What a _new function returns, or a function stores through a pointer to a
 * pointer, belongs to you. Give it to its _free function in the end, which does nothing
 * with NULL. What you pass in is copied, unless the comment says otherwise. What a function
 * returns as const belongs to the library.
 *
 * A callback is registered with a user_data pointer and a function that frees it, which may
 * be NULL. (The log function of transom_set_logger has none.) The free function runs exactly
 * once, on any thread, after the last call of the callback has returned. If the registration
 * fails, it runs before the registering function returns.
 *
 * BYTES. The library returns bytes as a transom_bytes, and takes bytes as a pointer and a
 * length. Bytes from the network are not NUL-terminated and may have any value. The comment
 * of a function says if the length may be TRANSOM_NUL_TERMINATED. If the length is 0, the
 * pointer is ignored.
 *
 * THREADS. The library has its own threads. By default these are workers, which serve the
 * connections, and a pool, on which handlers may block. transom_server_set_model chooses a
 * thread for each connection instead, or one thread for all of them. Every function may be
 * called on any thread, in any callback, at any time, except that a _free function must be
 * the last use of what it frees. The library holds no lock while a callback runs. Several
 * threads may run a callback at the same time (but not a handler, in the model "sequential").
 * A callback must not leave by longjmp or by a C++ exception, and must not end its thread.
 *
 * RESPONSES. A handler gets a request, to read, and a responder, to send the response with:
 * once, in the handler or later, on any thread. Mistakes do no harm. A second response
 * returns TRANSOM_ALREADY_ANSWERED. A response that is too late returns TRANSOM_GONE. If a
 * responder is freed without a response, the client gets a 500. If the timeout "handler"
 * passes, the client gets a 503. Use or free every responder: one that is forgotten stays
 * allocated.
 *
 * EVENTS. A host that wants no callbacks fetches requests with transom_server_next_batch,
 * and learns from transom_events_next what happens to them: a client leaves, a deadline
 * passes, there is room for more of a body. Both have a descriptor for poll(2). A stream
 * that waits for news must watch its writer (transom_writer_on_gone,
 * transom_events_watch_writer), and free it when the client has left.
 *
 * STOPPING. transom_server_stop begins to stop a server and never waits, so a handler can
 * call it. transom_server_wait waits for the end. transom_server_free does both. A stream that
 * would not end by itself asks to be told that a stop begins (transom_writer_on_stopping,
 * transom_events_watch_writer_stopping), and finishes its body before the deadline.
 *
 * SIGNALS. Every thread of the library blocks all signals except those that report a fault
 * of the thread itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS). So signal
 * handlers run on your own threads only. The library installs no signal handler. It leaves
 * SIGPIPE as it is: it writes to sockets on its own threads only, which block that signal.
 * Do not call the library in a signal handler; call sigwait(3) on a thread instead, or write
 * to a pipe.
 *
 * FORKING. A server belongs to the process that starts it. A server that listens but was not
 * started may be started in the children of a fork, which then share its listeners. (Call
 * transom_server_event_fd after the fork, and fork while no other thread uses the server.)
 * A server that was started runs in that process only. In a child that is forked later, its
 * functions return TRANSOM_FORKED, freeing it does nothing, and no other server can be
 * started.
 *
 * UNLOADING. dlclose does not unload the library, because its threads need it.
 *
 * WINDOWS. Texts are UTF-8, names of files too: those that are not fail with TRANSOM_NOT_UTF8. A
 * transom_descriptor is a HANDLE or a SOCKET. What the system does not have is an error when it
 * is asked for, never a missing function: the models "threads" and "sequential"
 * (TRANSOM_INVALID_ARGUMENT), SO_REUSEPORT, abstract names and modes of Unix sockets (TRANSOM_IO),
 * hand-overs (TRANSOM_IO). Unix sockets need version 1803 of Windows 10. An errno in an error is the code of GetLastError or WSAGetLastError. Ctrl-C comes to
 * a handler of SetConsoleCtrlHandler, which may call the library. FreeLibrary does not unload the
 * library.
 */


#ifndef TRANSOM_H
#define TRANSOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
typedef intptr_t transom_descriptor;
#else
/*
 * A descriptor of the system. On Windows it is a HANDLE or a SOCKET, as the comment of the function
 * says, and no number of a file in the C runtime, of which a program may have several: pass
 * (transom_descriptor)_get_osfhandle(fd). No descriptor is -1 everywhere.
 */
typedef int transom_descriptor;
#endif

/* As a length of type size_t: up to the first NUL. */
#define TRANSOM_NUL_TERMINATED SIZE_MAX

/* Initializes a transom_bytes with a NUL-terminated text. */
#define TRANSOM_TEXT(text) {(const uint8_t *)(text), TRANSOM_NUL_TERMINATED}

/* Initializes a transom_field with two NUL-terminated texts. */
#define TRANSOM_FIELD(name, value) {TRANSOM_TEXT(name), TRANSOM_TEXT(value)}

/*
 * The two arguments of printf for "%.*s": printf("%.*s", TRANSOM_PRINT(bytes)). It prints up
 * to the first NUL.
 */
#define TRANSOM_PRINT(bytes) (int)(bytes).len, (const char *)(bytes).data

/* In the flags of a transom_request_record: there is a query, which may be empty. */
#define TRANSOM_HAS_QUERY 1

/*
 * In the flags of a transom_request_record: the route streams, so the body is not in the
 * record. Read it with transom_token_read.
 */
#define TRANSOM_STREAMS 2

/* In the flags of a transom_request_record: the scheme is "https", as in transom_request_scheme. */
#define TRANSOM_HTTPS 4

/*
 * In the flags of a transom_request_record: a proxy named the client. After the peer, the part for
 * it has a space and the other end of the connection, and a space and the host, as in
 * transom_request_connection_peer and transom_request_host.
 */
#define TRANSOM_FORWARDED 8

/*
 * In the flags of a transom_request_record: the connection has TLS, and a transom_tls_record follows
 * the body.
 */
#define TRANSOM_TLS 16

/*
 * In the flags of a transom_request_record: the request has an Upgrade field, so it may ask for a
 * WebSocket connection (transom_responder_accept_websocket). The library keeps it until it is answered.
 */
#define TRANSOM_UPGRADE 32

/*
 * In the flags of a transom_response_record: the length of the body is not announced. The body has the
 * chunked coding, and for HTTP/1.0 it ends with the connection, as one that is written in parts.
 */
#define TRANSOM_WITHOUT_LENGTH 1

/* As the length of a part of a file: up to the end of the file. */
#define TRANSOM_TO_END UINT64_MAX

/* As a timeout in milliseconds: no limit. */
#define TRANSOM_FOREVER INT64_C(-1)

/* Marks a function whose status must not be ignored. */
#if defined(__GNUC__)
#define TRANSOM_MUST_USE __attribute__((warn_unused_result))
#else
#define TRANSOM_MUST_USE
#endif


/*
 * The version of the binary interface that this header describes. It changes only in
 * releases for which programs must be compiled again.
 */
#define TRANSOM_ABI_VERSION 0

/* The major version of the library that this header came with. */
#define TRANSOM_VERSION_MAJOR 0

/* The minor version of the library that this header came with. */
#define TRANSOM_VERSION_MINOR 1

/* The patch version of the library that this header came with. */
#define TRANSOM_VERSION_PATCH 0

/*
 * The result of a function. 0 is success, errors are negative. The meaning of a number
 * never changes.
 */
typedef enum transom_status {
    /* The call succeeded. */
    TRANSOM_OK = 0,
    /* A pointer that must not be NULL is NULL. */
    TRANSOM_NULL_ARGUMENT = -1,
    /* An argument has a value that the function does not accept. */
    TRANSOM_INVALID_ARGUMENT = -2,
    /* The server cannot listen on the address: it is malformed, unknown, or not of this machine. */
    TRANSOM_BAD_ADDRESS = -3,
    /* Another socket listens on the address. */
    TRANSOM_ADDRESS_IN_USE = -4,
    /* The process is not permitted to do this. */
    TRANSOM_PERMISSION_DENIED = -5,
    /* The system refused a thread, a descriptor or a socket operation. */
    TRANSOM_IO = -6,
    /* The pattern is malformed, conflicts with another, or already has a handler for the method. */
    TRANSOM_BAD_ROUTE = -7,
    /* A header field is malformed, or only the server may set it. */
    TRANSOM_BAD_HEADER = -8,
    /* The status code of the response is not from 200 to 599. */
    TRANSOM_BAD_STATUS_CODE = -9,
    /* The call is only allowed before the server is started, or only once. */
    TRANSOM_ALREADY_STARTED = -10,
    /* The call is only allowed after the server is started. */
    TRANSOM_NOT_STARTED = -11,
    /* Nobody waits for this any more: client gone, deadline passed, or server stopped. */
    TRANSOM_GONE = -12,
    /* The handle is used up: the request has its response, or the writer has ended. */
    TRANSOM_ALREADY_ANSWERED = -13,
    /* There is no room for the bytes now, and the call was told not to wait. */
    TRANSOM_WOULD_BLOCK = -14,
    /* The call would wait for the thread that it runs on. */
    TRANSOM_WOULD_DEADLOCK = -15,
    /* The timeout of the call has passed. */
    TRANSOM_TIMEOUT = -16,
    /* The server has stopped, or the event queue was closed: nothing more will come. */
    TRANSOM_STOPPED = -17,
    /* The buffer is too small for the first item. */
    TRANSOM_BUFFER_TOO_SMALL = -18,
    /* The server runs in another process, of which this one is a fork. */
    TRANSOM_FORKED = -19,
    /* The library has a defect, which was caught before it did harm. Please report it. */
    TRANSOM_PANIC = -20,
    /* There is no element with this index. */
    TRANSOM_OUT_OF_RANGE = -21,
    /* A packed record does not have the documented layout. */
    TRANSOM_MALFORMED = -22,
    /* A text is not UTF-8. */
    TRANSOM_NOT_UTF8 = -23,
    /* The bytes go beyond the Content-Length of the response. */
    TRANSOM_BODY_TOO_LONG = -24,
    /* The body ended before the Content-Length of the response. */
    TRANSOM_BODY_TOO_SHORT = -25,
    /* There is no memory for a copy of the bytes. */
    TRANSOM_NO_MEMORY = -26,
    /* The request body is larger than the limit. */
    TRANSOM_BODY_TOO_LARGE = -27,
    /* The request body is malformed. */
    TRANSOM_BAD_BODY = -28,
    /* The client sends the request body more slowly than the server allows. */
    TRANSOM_TOO_SLOW = -29,
    /* A certificate, a key or another setting of TLS cannot be used. */
    TRANSOM_BAD_TLS = -30,
    /* The request asks for no WebSocket connection that the server accepts: the client was refused. */
    TRANSOM_BAD_HANDSHAKE = -31,
} transom_status;

/* The kinds of events. New kinds may be added: ignore those that you do not know. */
typedef enum transom_event_kind {
    /*
     * The client of a watched request has left or closed its sending side. The response is
     * still sent, and reaches a client that has only closed its sending side.
     */
    TRANSOM_EVENT_GONE = 1,
    /*
     * Nobody waits for the response to a watched request any more: the timeout "handler" has
     * passed, the server was stopped, or the connection has ended.
     */
    TRANSOM_EVENT_OVER = 2,
    /* A watched writer has room again, or nobody reads its body any more. */
    TRANSOM_EVENT_WRITABLE = 3,
    /*
     * Nobody reads the body of a watched writer any more: the client has left, or the
     * response was cut off.
     */
    TRANSOM_EVENT_WRITER_GONE = 4,
    /* Log messages wait: take them with transom_log_next. */
    TRANSOM_EVENT_LOG = 5,
    /* There is more of the body of a watched request to read, or its end. */
    TRANSOM_EVENT_READABLE = 6,
    /* The server of a watched request begins to stop. */
    TRANSOM_EVENT_STOPPING = 7,
    /* The server that sends the body of a watched writer begins to stop. */
    TRANSOM_EVENT_WRITER_STOPPING = 8,
    /* There is something to read on a watched connection that has left HTTP, or its end. */
    TRANSOM_EVENT_UPGRADED_READABLE = 9,
    /* A watched connection that has left HTTP has room again, or is broken. */
    TRANSOM_EVENT_UPGRADED_WRITABLE = 10,
    /* The server of a watched connection that has left HTTP begins to stop. */
    TRANSOM_EVENT_UPGRADED_STOPPING = 11,
    /*
     * A watchdog asks whether the thread that takes the events turns: see
     * transom_server_watch_events.
     */
    TRANSOM_EVENT_WATCHDOG = 12,
    /* There is a message to receive on a watched WebSocket connection, or its end. */
    TRANSOM_EVENT_WEBSOCKET_MESSAGE = 13,
    /* A watched WebSocket connection has room again, or closes. */
    TRANSOM_EVENT_WEBSOCKET_WRITABLE = 14,
    /* A watched WebSocket connection has ended. */
    TRANSOM_EVENT_WEBSOCKET_CLOSED = 15,
} transom_event_kind;

/* How an exchange ended, as the server saw it. New ways may be added. */
typedef enum transom_ended {
    /* The whole response was written. */
    TRANSOM_ENDED_ANSWERED = 1,
    /* The response was a 101, and the connection left HTTP. */
    TRANSOM_ENDED_UPGRADED = 2,
    /* The connection broke before the whole response was written: most often, the client left. */
    TRANSOM_ENDED_LEFT = 3,
    /* The client did not take the response in time. */
    TRANSOM_ENDED_TIMED_OUT = 4,
    /* The body of the response broke off, or did not have the length that was announced. */
    TRANSOM_ENDED_FAILED = 5,
    /*
     * The server cut the exchange: at the deadline of a stop, or because it had no memory or
     * no room to answer.
     */
    TRANSOM_ENDED_CUT = 6,
} transom_ended;

/*
 * The reasons for which the server refuses a request or a connection. The meaning of a
 * number never changes. New reasons may be added.
 */
typedef enum transom_reject {
    /* The request line is not "method SP target SP version" (RFC 9112 3). */
    TRANSOM_REJECT_BAD_REQUEST_LINE = 1,
    /* The method is not a token (RFC 9110 9.1). */
    TRANSOM_REJECT_BAD_METHOD = 2,
    /* The method is longer than any known (RFC 9112 3). */
    TRANSOM_REJECT_LONG_METHOD = 3,
    /* The request target has none of the forms of RFC 9112 3.2. */
    TRANSOM_REJECT_BAD_TARGET = 4,
    /* The request target is longer than the limit (RFC 9110 15.5.15). */
    TRANSOM_REJECT_TARGET_TOO_LONG = 5,
    /* The version is not "HTTP/digit.digit" (RFC 9112 2.3). */
    TRANSOM_REJECT_BAD_VERSION = 6,
    /* The major version is not 1 (RFC 9110 15.6.6). */
    TRANSOM_REJECT_UNSUPPORTED_VERSION = 7,
    /* A line of the head ends in LF or CR alone (RFC 9112 2.2). */
    TRANSOM_REJECT_BARE_LINE_END = 8,
    /* A header line is not "name: value" (RFC 9112 5). */
    TRANSOM_REJECT_BAD_HEADER = 9,
    /* The head is larger than the limit (RFC 6585 5). */
    TRANSOM_REJECT_HEAD_TOO_LARGE = 10,
    /* There are more header fields than the limit (RFC 6585 5). */
    TRANSOM_REJECT_TOO_MANY_HEADERS = 11,
    /* An HTTP/1.1 request has no Host field (RFC 9112 3.2). */
    TRANSOM_REJECT_MISSING_HOST = 12,
    /* The Host field is repeated or malformed (RFC 9112 3.2). */
    TRANSOM_REJECT_BAD_HOST = 13,
    /* The host is not one that this server answers for (RFC 9110 15.5.20). */
    TRANSOM_REJECT_FOREIGN_HOST = 14,
    /* Content-Length is not a number, or two values differ (RFC 9112 6.3). */
    TRANSOM_REJECT_BAD_CONTENT_LENGTH = 15,
    /* The request has both Content-Length and Transfer-Encoding (RFC 9112 6.1). */
    TRANSOM_REJECT_BOTH_FRAMINGS = 16,
    /* Transfer-Encoding does not end in chunked, once, in HTTP/1.1 (RFC 9112 6.3). */
    TRANSOM_REJECT_BAD_TRANSFER_ENCODING = 17,
    /* There is a transfer coding other than chunked (RFC 9112 6.1). */
    TRANSOM_REJECT_UNKNOWN_CODING = 18,
    /* The chunked coding is malformed (RFC 9112 7.1). */
    TRANSOM_REJECT_BAD_CHUNK = 19,
    /* Chunk extensions are larger than the limit (RFC 9112 7.1.1). */
    TRANSOM_REJECT_CHUNK_EXTENSIONS_TOO_LARGE = 20,
    /* A trailer line is not "name: value" (RFC 9112 7.1.2). */
    TRANSOM_REJECT_BAD_TRAILER = 21,
    /* The trailer section is larger than the limit (RFC 9112 7.1.2). */
    TRANSOM_REJECT_TRAILERS_TOO_LARGE = 22,
    /* The body is larger than the limit (RFC 9110 15.5.14). */
    TRANSOM_REJECT_BODY_TOO_LARGE = 23,
    /* There is an expectation other than 100-continue (RFC 9110 10.1.1). */
    TRANSOM_REJECT_UNKNOWN_EXPECTATION = 24,
    /* CONNECT is for proxies (RFC 9110 9.3.6). */
    TRANSOM_REJECT_CONNECT = 25,
    /* The whole head did not arrive in time (RFC 9110 15.5.9). */
    TRANSOM_REJECT_HEAD_TIMEOUT = 26,
    /* The body made no progress in time (RFC 9110 15.5.9). */
    TRANSOM_REJECT_BODY_TIMEOUT = 27,
    /* The client closed before the end of the body (RFC 9112 8). */
    TRANSOM_REJECT_BODY_CUT_SHORT = 28,
    /* There are as many connections as the limit allows. */
    TRANSOM_REJECT_TOO_MANY_CONNECTIONS = 29,
    /* There are as many connections from this address as the limit allows. */
    TRANSOM_REJECT_TOO_MANY_FROM_ADDRESS = 30,
    /* All threads for blocking handlers are busy, and the queue for them is full. */
    TRANSOM_REJECT_POOL_FULL = 31,
    /* There is no thread for the handler, and none can be started. */
    TRANSOM_REJECT_NO_THREAD = 32,
    /* There is no memory for the request now. */
    TRANSOM_REJECT_NO_MEMORY = 33,
    /* The handler did not answer in time. */
    TRANSOM_REJECT_HANDLER_TIMEOUT = 34,
    /* The connection is not from a trusted proxy, and its listener expects a PROXY header. */
    TRANSOM_REJECT_UNTRUSTED_PROXY = 35,
    /* The connection does not begin with a PROXY header that is whole and well-formed. */
    TRANSOM_REJECT_BAD_PROXY_HEADER = 36,
    /* The request came without TLS to a port that has TLS: use https (RFC 9110 4.2.2). */
    TRANSOM_REJECT_PLAIN_HTTP = 37,
    /* A TLS handshake came to a port without TLS: use http (RFC 9110 4.2.1). */
    TRANSOM_REJECT_TLS_HELLO = 38,
    /* The request would wait too long for its handler, or has done so. */
    TRANSOM_REJECT_OVERLOADED = 39,
    /* The body has a content coding that the route does not decode (RFC 9110 15.5.16). */
    TRANSOM_REJECT_UNKNOWN_CONTENT_CODING = 40,
    /* The body is not what its Content-Encoding says (RFC 9110 8.4). */
    TRANSOM_REJECT_BAD_CONTENT_CODING = 41,
} transom_reject;

/* The state of a connection. New states may be added. */
typedef enum transom_connection_state {
    /* It waits for a request. */
    TRANSOM_CONNECTION_IDLE = 1,
    /* A part of the head of a request has come. */
    TRANSOM_CONNECTION_READING_HEAD = 2,
    /* The server reads a body that the handler gets whole. */
    TRANSOM_CONNECTION_READING_BODY = 3,
    /* The handler works, or a request waits for its response. */
    TRANSOM_CONNECTION_HANDLING = 4,
    /* The server sends the response. */
    TRANSOM_CONNECTION_ANSWERING = 5,
    /* The last response is written, and the server waits until the client has read it. */
    TRANSOM_CONNECTION_LINGERING = 6,
    /* A handler has taken the connection out of HTTP. */
    TRANSOM_CONNECTION_UPGRADED = 7,
} transom_connection_state;

/* The kinds of deadlines. New kinds may be added. */
typedef enum transom_deadline {
    /* The steps before HTTP: the timeout "handshake". */
    TRANSOM_DEADLINE_HANDSHAKE = 1,
    /* The wait for a request: the timeout "idle". */
    TRANSOM_DEADLINE_IDLE = 2,
    /* The head of a request: the timeout "head" and the limit "head_rate". */
    TRANSOM_DEADLINE_HEAD = 3,
    /* The body of a request: the timeout "body" and the limit "body_rate". */
    TRANSOM_DEADLINE_BODY = 4,
    /* The handler: the timeout "handler". */
    TRANSOM_DEADLINE_HANDLER = 5,
    /* A client that does not take a response: the timeout "write" and the limit "write_rate". */
    TRANSOM_DEADLINE_WRITE = 6,
    /*
     * A client that does not close after the last response: the timeouts "linger" and
     * "linger_idle".
     */
    TRANSOM_DEADLINE_LINGER = 7,
} transom_deadline;

/*
 * The policy of a broadcast for a client whose queue is full, because the client reads more slowly than
 * messages or events come.
 */
typedef enum transom_slow_reader {
    /* The client misses the message. */
    TRANSOM_SLOW_READER_DROP = 0,
    /* The client misses all but the newest: it gets that once there is room. */
    TRANSOM_SLOW_READER_COALESCE = 1,
    /* The connection is closed after what waits: the client can connect again. */
    TRANSOM_SLOW_READER_CLOSE = 2,
} transom_slow_reader;

/* The kinds of messages. */
typedef enum transom_websocket_kind {
    /* A text, in UTF-8. */
    TRANSOM_WEBSOCKET_TEXT = 1,
    /* Bytes. */
    TRANSOM_WEBSOCKET_BINARY = 2,
} transom_websocket_kind;

/* The settings for transom_websocket_upgrade_set. Sizes are in bytes, times in milliseconds. */
typedef enum transom_websocket_setting {
    /*
     * The most bytes of a message, decompressed; default 1 MiB. A larger one ends the connection
     * with 1009.
     */
    TRANSOM_WEBSOCKET_MESSAGE_LIMIT = 1,
    /*
     * The most bytes of a frame as it is sent; default 16 MiB. A larger one ends the connection with
     * 1009, before its bytes come.
     */
    TRANSOM_WEBSOCKET_FRAME_LIMIT = 2,
    /*
     * The bytes that may wait to be sent before TRANSOM_WOULD_BLOCK; default 256 KiB. A message is
     * taken whole while less than that waits.
     */
    TRANSOM_WEBSOCKET_QUEUE_LIMIT = 3,
    /*
     * 1 compresses messages if the client offers it (permessage-deflate, RFC 7692); 0 does not.
     * Default 1.
     */
    TRANSOM_WEBSOCKET_COMPRESSION = 4,
    /*
     * 1 compresses messages with what came before them, if the client does not mind: similar messages
     * get shorter, and each connection holds about 350 KiB. Default 0: each by itself.
     */
    TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER = 5,
    /* The least bytes of a message that is compressed; default 64. */
    TRANSOM_WEBSOCKET_COMPRESS_FROM = 6,
    /*
     * The silence of a client after which a Ping is sent; default 30,000. TRANSOM_FOREVER sends none,
     * and a client that is gone may then not be noticed.
     */
    TRANSOM_WEBSOCKET_PING_INTERVAL_MS = 7,
    /* How long a client may be silent after a Ping; default 30,000. Then the connection ends (1006). */
    TRANSOM_WEBSOCKET_PING_TIMEOUT_MS = 8,
    /*
     * How long a client may take to answer a Close, or to read what is left after its own; default
     * 5,000. Then the connection ends (1006).
     */
    TRANSOM_WEBSOCKET_CLOSE_TIMEOUT_MS = 9,
    /* 1 hands messages out in pieces, as they arrive; 0 whole. Default 0. */
    TRANSOM_WEBSOCKET_IN_PIECES = 10,
    /*
     * 1 lets pages of all origins connect; 0 those of the host that the request names, and those of
     * transom_websocket_upgrade_add_origin. Default 0.
     */
    TRANSOM_WEBSOCKET_ANY_ORIGIN = 11,
    /*
     * The least rate of a message in bytes per second, as they are sent, while the server waits for it;
     * default 500. One that comes more slowly for TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS ends the connection
     * with 1008. With 0, any byte of the message is enough.
     */
    TRANSOM_WEBSOCKET_MESSAGE_RATE = 12,
    /*
     * How long a message may come more slowly than TRANSOM_WEBSOCKET_MESSAGE_RATE; default 30,000. With
     * TRANSOM_FOREVER, a message may take for ever.
     */
    TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS = 13,
} transom_websocket_setting;

/* The kinds of records of transom_metrics_snapshot. New kinds may be added. */
typedef enum transom_metric_record_kind {
    /* A transom_series_record. */
    TRANSOM_RECORD_SERIES = 1,
    /* A transom_metric_record. */
    TRANSOM_RECORD_METRIC = 2,
} transom_metric_record_kind;

/* The kind of a metric. New kinds may be added. */
typedef enum transom_metric_kind {
    /* It only grows. */
    TRANSOM_METRIC_COUNTER = 1,
    /* It grows and falls. */
    TRANSOM_METRIC_GAUGE = 2,
} transom_metric_kind;

/*
 * An access log: a line for each response of the servers that have it, refusals and connections
 * for which there is no room included. A thread of the log writes the lines in batches, at the latest
 * after 100 ms. No request waits for it: lines that come faster than they can be written, and lines
 * that cannot be written, are lost and counted (transom_access_log_lost). The library's log then gets
 * a warning, and the access log itself a line once it can be written.
 *
 * Each server that gets it keeps its own reference. When the object and all servers that have it
 * are freed, the lines that there are get written, for up to 2 seconds. Any thread may call its
 * functions. A call with an object that was freed returns TRANSOM_ALREADY_ANSWERED and does no harm.
 */
typedef struct transom_access_log transom_access_log;

/*
 * Sends messages to many WebSocket connections: each is encoded once for all of them, and compressed
 * once for all whose compression has the same parameters. A connection that compresses with what came
 * before (TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER) gets the message without compression. Connections that
 * close are removed by themselves. All members get the messages in the same order. Any thread may use
 * it. Like a responder, the pointer is a number that is looked up: one that was freed is no danger,
 * TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_broadcast transom_broadcast;

/*
 * A client of a server in the same process: a connection that is bytes in memory, without a socket.
 * It is for tests of a program. It belongs to you: end it with transom_client_free. Any thread may
 * use it, one to read and another to write. Like a responder, the pointer is a number that is looked
 * up: one that was freed is no danger, TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_client transom_client;

/*
 * The settings of compressed responses: see transom_server_set_compression. A server that gets them
 * keeps a copy. Any thread may call its functions. A call with an object that was freed returns
 * TRANSOM_ALREADY_ANSWERED and does no harm.
 */
typedef struct transom_compression transom_compression;

/*
 * Decides which requests may begin that wait in a queue of the host's, as
 * transom_server_set_overload does for the queues of a server: by the time that they wait. Refuse the
 * others with transom_responder_refuse and TRANSOM_REJECT_OVERLOADED.
 *
 * It knows no queue: you tell it what happens in yours. Any thread may call its functions. A call
 * with an object that was freed, or NULL, refuses nothing.
 */
typedef struct transom_congestion transom_congestion;

/*
 * The details of an error: a status, a sentence and an errno. A function that takes a
 * transom_error ** stores an error there when it fails, and NULL when it succeeds; pass
 * NULL if you do not want the error. The error belongs to you: free it with
 * transom_error_free. Any thread may read it.
 */
typedef struct transom_error transom_error;

/*
 * A queue of events. The library calls no function of the host for them. The host takes the
 * events on a thread of its own (transom_events_next) or in its event loop
 * (transom_events_fd). One queue may watch requests and writers of several servers, and a
 * host may have several queues, for example one for each event loop.
 *
 * The queue holds each kind of event at most once for each request or writer, so what the
 * host watches bounds its length.
 */
typedef struct transom_events transom_events;

/*
 * The files of a folder, to be served under a path: see docs/files.md. The responses have ETag,
 * Last-Modified, Accept-Ranges, a Content-Type by the name of the file, and X-Content-Type-Options.
 * Conditional requests and ranges are answered (RFC 9110 13 and 14): 206 with one part or many, 304, 412,
 * 416. The kernel sends the files. Nothing outside the folder is served, nor is a name that begins with a
 * dot.
 *
 * Each server that gets it keeps its own copy of the settings. Any thread may call its functions. A call
 * with an object that was freed returns TRANSOM_ALREADY_ANSWERED and does no harm.
 */
typedef struct transom_files transom_files;

/*
 * Metrics: counts of the responses of the servers that have them, by method, route, status, version
 * and error, with histograms of their durations and sums of their bytes; and of connections,
 * refusals, deadlines, the pool and the process. docs/metrics.md lists them.
 *
 * Each server that gets them keeps its own reference: you may free the object at any time, before or
 * after the server. Several servers may count in the same metrics. Any thread may call its functions.
 * A call with an object that was freed returns TRANSOM_ALREADY_ANSWERED and does no harm.
 */
typedef struct transom_metrics transom_metrics;

/*
 * Ready middleware, to be used by servers and routes. It belongs to you: free it, at once if you like,
 * because servers and routes keep what they use. Middleware that counts, such as "rate_limit", counts
 * the requests of all places that use it together.
 */
typedef struct transom_middleware transom_middleware;

/*
 * A multipart form that is read part by part: the body of a request, in memory or while it comes.
 * It belongs to you: free it. It reads the request, and is to be used no longer than that is valid.
 * One thread at a time may use it.
 */
typedef struct transom_multipart transom_multipart;

/*
 * A request, to be read with the functions below. It belongs to the library. It is valid
 * until the handler has returned and the request has been answered (by
 * transom_responder_send, _send_text, _send_owned, _send_file, _start or _free), whichever
 * is later. The bytes that the functions return are valid as long. Several threads may read
 * a request at the same time.
 */
typedef struct transom_request transom_request;

/*
 * The right to send the response to one request, once. It belongs to you: send a response
 * with it, or free it. Any thread may use it, long after the handler has returned and even
 * after the server was freed. The pointer is a number that the library looks up and never
 * follows, so a responder that is used up is no danger: TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_responder transom_responder;

/*
 * A response that is about to be sent. A callback gets it to read and to change. It belongs
 * to the library and is valid during that call only. The bytes that the functions return are
 * valid until the response is changed.
 */
typedef struct transom_response transom_response;

/*
 * A route that is not yet part of a server. It belongs to you: add it to a server, or free
 * it. Either is the last use of the route.
 */
typedef struct transom_route transom_route;

/*
 * A server. First it takes routes and settings; after the start it has threads and sockets.
 * Any thread may call its functions, several at the same time. transom_server_free must be
 * the last call.
 */
typedef struct transom_server transom_server;

/*
 * The keys that sign the values of cookies with HMAC-SHA256. They belong to you; any thread may use
 * them. Like a responder, the pointer is a number that is looked up: one that was freed is no danger,
 * TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_signing_keys transom_signing_keys;

/*
 * Sends server-sent events to one client (WHATWG HTML 9.2). It belongs to you: end it with
 * transom_sse_free. Any thread may use it. Like a responder, the pointer is a number that is looked
 * up: one that was freed is no danger, TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_sse transom_sse;

/*
 * Sends the same events to many clients, and encodes each once. It belongs to you: end it with
 * transom_sse_broadcast_free. Any thread may use it. Like a responder, the pointer is a number that is
 * looked up: one that was freed is no danger, TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_sse_broadcast transom_sse_broadcast;

/*
 * TLS for the connections of a socket: certificates, keys, and what else a handshake needs.
 * First it takes settings; its files are read when a socket gets it (transom_server_bind_tls) or
 * by transom_tls_reload, whichever is first, and from then on the settings are fixed.
 *
 * Each socket that gets it keeps its own reference: you may free the object at any time, before
 * or after the server, and the sockets keep TLS. Keep it as long as you want to call
 * transom_tls_reload. Several sockets and several servers may share one. Any thread may call its
 * functions. A call with an object that was freed returns TRANSOM_ALREADY_ANSWERED and does no
 * harm.
 */
typedef struct transom_tls transom_tls;

/*
 * A connection that transom_responder_upgrade has taken out of HTTP: bytes both ways. It belongs
 * to you: end it with transom_upgraded_free. Any thread may use it, one to read and another to
 * write. Like a responder, the pointer is a number that is looked up: one that was freed is no
 * danger, TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_upgraded transom_upgraded;

/*
 * A WebSocket connection (RFC 6455), from transom_responder_accept_websocket. It belongs to you: end it
 * with transom_websocket_free. Any thread may use it, several at once. Like a responder, the pointer is a
 * number that is looked up: one that was freed is no danger, TRANSOM_ALREADY_ANSWERED.
 *
 * The library answers Pings, sends some of its own, and answers the Close of the client. When the server
 * stops, it sends a Close with 1001, and the stop waits for the answer until its deadline.
 */
typedef struct transom_websocket transom_websocket;

/*
 * The settings of WebSocket connections. Made once, and used for each handshake
 * (transom_responder_accept_websocket). You may free them at any time: connections keep the
 * settings that they began with. Any thread may call the functions. The pointer is a number that is
 * looked up: a call with settings that were freed returns TRANSOM_ALREADY_ANSWERED and does no harm.
 */
typedef struct transom_websocket_upgrade transom_websocket_upgrade;

/*
 * Writes the body of a response that transom_responder_start has begun. It belongs to you:
 * end it with transom_writer_finish or transom_writer_free. Any thread may use it. Like a
 * responder, the pointer is a number that is looked up: a writer that has ended is no
 * danger, TRANSOM_ALREADY_ANSWERED.
 */
typedef struct transom_writer transom_writer;

/*
 * A function that takes one log message. `level` is 1 for an error, 2 for a warning, 3 for
 * information, 4 for debugging and 5 for tracing. `message` is NUL-terminated and valid
 * during the call. The function runs on any thread, on several at the same time, and must
 * not block.
 */
typedef void (*transom_log_fn)(void *user_data, int32_t level, const char *message);

/*
 * Bytes that the library owns, to be read. They are not NUL-terminated. Absent bytes are
 * {NULL, 0}; empty bytes have a `data` that is not NULL.
 */
typedef struct transom_bytes {
    /* The first byte, or NULL if the bytes are absent. */
    const uint8_t *data;
    /* The number of bytes. */
    size_t len;
} transom_bytes;

/*
 * A function that handles a request. `request` is borrowed (see transom_request).
 * `responder` belongs to the handler, which sends the response in this call, or keeps the
 * responder and sends the response later, on any thread.
 */
typedef void (*transom_handler_fn)(void *user_data,
                                   const transom_request *request,
                                   transom_responder *responder);

/*
 * A function that frees `user_data`, or, in transom_responder_send_owned, the body. It runs
 * exactly once, on any thread: after the last use, or at once if the registration fails.
 * May be NULL.
 */
typedef void (*transom_free_fn)(void *user_data);

/*
 * A function that runs before a handler. It returns true to go on to the handler, or false
 * to answer with `response`, which is an empty 403 unless the function changes it. Both
 * pointers are valid during the call only.
 */
typedef bool (*transom_before_fn)(void *user_data,
                                  transom_request *request,
                                  transom_response *response);

/*
 * A function that runs after a handler has answered. It may change `response`. Both pointers
 * are valid during the call only. `request` is a copy without the body.
 */
typedef void (*transom_after_fn)(void *user_data,
                                 const transom_request *request,
                                 transom_response *response);

/*
 * A function that the library calls once something has happened, such as a client that has
 * left. `user_data` is the pointer that was registered with it.
 */
typedef void (*transom_callback_fn)(void *user_data);

/*
 * A function that writes lines of an access log: `len` bytes of whole lines, each with its line
 * end. It returns 0, or a number of errno, if it could not write them: they are then lost. It runs
 * on a thread of the log, never twice at the same time, and may block.
 */
typedef int (*transom_log_write_fn)(void *user_data, const void *data, size_t len);

/*
 * An exchange that has ended: a request, its response, and what became of them. The bytes
 * are valid during the call only. Later versions of the library may add members at the end:
 * a member exists if `size` is large enough.
 */
typedef struct transom_exchange {
    /* The size of this structure in the library that is loaded. */
    size_t size;
    /* The method. Absent if the head of the request was refused, or none came. */
    transom_bytes method;
    /*
     * The request target: the path and the query, percent-encoded. Absent as the method is,
     * and if there was no memory to keep it.
     */
    transom_bytes target;
    /*
     * The pattern of the route. Empty for the fallback. Absent if no route was found or none
     * was looked for.
     */
    transom_bytes route;
    /* The other end of the connection, as in transom_request_peer. */
    transom_bytes peer;
    /* Bytes of the request that were read, with its head and the framing of its body. */
    uint64_t bytes_in;
    /* Bytes of the response that were written, with its head and the framing of its body. */
    uint64_t bytes_out;
    /* Nanoseconds from the head of the request to the end of the exchange. */
    uint64_t duration_ns;
    /* The status code of the response, or 0 if the exchange ended before there was one. */
    uint16_t status_code;
    /* The version of HTTP: 10 or 11, or 0 if the method is absent. */
    uint16_t version;
    /*
     * Why the server refused the request or the connection: a transom_reject. 0 if it did
     * not.
     */
    int32_t reject;
    /* How the exchange ended: a transom_ended. */
    int32_t ended;
    /* 0. */
    int32_t reserved;
    /*
     * The address at which the connection came in, as in transom_request_local_address. Absent
     * if the connection has ended.
     */
    transom_bytes local_address;
    /*
     * The scheme of the request, "https" or "http", as in transom_request_scheme. "http" if the
     * connection was refused before its TLS handshake.
     */
    transom_bytes scheme;
} transom_exchange;

/*
 * A function that writes the line of an exchange into `buffer`, without a line end, as snprintf
 * does: it returns the length of the line without the NUL at its end. If that is `size` or more,
 * it is called again with a larger buffer, once. If it returns 0 or less, the exchange has no line.
 * It runs on a thread that serves connections, on several at the same time, and must not block.
 */
typedef int (*transom_log_format_fn)(void *user_data,
                                     const transom_exchange *exchange,
                                     char *buffer,
                                     size_t size);

/*
 * A function that returns true if the client of a request may see the status page. `request` has
 * no body, and is valid during the call only.
 */
typedef bool (*transom_status_check_fn)(void *user_data, const transom_request *request);

/*
 * A name and a value, such as a header field. When you pass one in, the lengths may be
 * TRANSOM_NUL_TERMINATED: see TRANSOM_FIELD.
 */
typedef struct transom_field {
    /* The name, such as "content-type". */
    transom_bytes name;
    /* The value, such as "text/html". */
    transom_bytes value;
} transom_field;

/* A function that is told of an exchange. `exchange` is valid during the call. */
typedef void (*transom_exchange_fn)(void *user_data, const transom_exchange *exchange);

/*
 * An answer that the server gives by itself, and its request as far as it is known. The bytes
 * are valid during the call only. Later versions of the library may add members at the end: a
 * member exists if `size` is large enough.
 */
typedef struct transom_own_answer {
    /* The size of this structure in the library that is loaded. */
    size_t size;
    /* The method. Absent if the head of the request was refused, or none came. */
    transom_bytes method;
    /*
     * The request target, percent-encoded. Absent as the method is, and if the request line
     * is longer than 96 bytes.
     */
    transom_bytes target;
    /* The other end of the connection, as in transom_request_peer. */
    transom_bytes peer;
    /* The status code of the answer. */
    uint16_t status_code;
    /* 0. */
    uint16_t reserved;
    /*
     * Why the server refuses the request or the connection: a transom_reject. 0 if it does
     * not refuse it.
     */
    int32_t reject;
} transom_own_answer;

/* A function that words an answer of the server's own: see transom_server_own_answers. */
typedef void (*transom_own_answer_fn)(void *user_data,
                                      const transom_own_answer *answer,
                                      transom_response *response);

/* The requests that were in progress when a server was told to stop. */
typedef struct transom_report {
    /* sizeof(transom_report), which you store here before the call. */
    size_t size;
    /* Requests that ended with their whole response after the stop began. */
    uint64_t finished;
    /* Requests that were cut off at the deadline. */
    uint64_t cut;
    /* Requests that are in progress now. */
    uint64_t pending;
} transom_report;

/*
 * A part of a server that is stuck, as it was during transom_server_stuck. Later versions of the
 * library may add members at the end.
 */
typedef struct transom_stuck {
    /*
     * Its name: "worker 0", "the blocking pool", "the pull queue", or a name of your own. It is
     * NUL-terminated, and a longer one is cut off.
     */
    char name[64];
    /*
     * Where it stands, such as the route and the client that a worker serves, or how many requests
     * wait. Empty if that is not known. It is NUL-terminated, and a longer text is cut off.
     */
    char detail[256];
    /* Nanoseconds since it turned last. */
    uint64_t lasted_ns;
} transom_stuck;

/* The counters of a server. Later versions of the library may add members at the end. */
typedef struct transom_stats {
    /* sizeof(transom_stats), which you store here before the call. */
    size_t size;
    /* Connections that are open. */
    uint64_t connections;
    /* Connections that were let in since the start. */
    uint64_t accepted;
    /* Requests in progress: those whose responses are not written to the end. */
    uint64_t pending;
    /*
     * Requests that have ended since the start, other than those that were cut off. One whose
     * head was refused does not count here.
     */
    uint64_t requests;
    /* Requests that were cut off at the deadline of a stop. */
    uint64_t cut;
    /* Requests and connections that were refused since the start: see transom_server_refused. */
    uint64_t refused;
    /* Bytes of request bodies in memory; at most the limit "bodies". */
    uint64_t body_bytes;
    /* Threads of the pool on which handlers may block. */
    uint64_t pool_threads;
    /* Threads of the pool that run a handler. */
    uint64_t pool_busy;
    /* Requests that wait for a thread of the pool. */
    uint64_t pool_queued;
    /* Requests in the pull queue. */
    uint64_t pull_queued;
    /* Connections in the steps before HTTP, such as a TLS handshake. They count in `connections` too. */
    uint64_t opening;
    /*
     * Bytes that were read from clients, as HTTP. Connections that were refused do not count, nor
     * do bytes of upgraded connections.
     */
    uint64_t bytes_in;
    /* Bytes that were written to clients; counted as `bytes_in`. */
    uint64_t bytes_out;
    /* TLS handshakes that were done. */
    uint64_t tls_handshakes;
    /* Connections of listeners with TLS that ended before their handshake was done. */
    uint64_t tls_failures;
} transom_stats;

/*
 * A connection, as it was during transom_server_connections. Later versions of the library may
 * add members at the end.
 */
typedef struct transom_connection_info {
    /*
     * The client, or the proxy in front of it, as in transom_request_connection_peer. It is
     * NUL-terminated.
     */
    char peer[64];
    /*
     * The pattern of the route whose handler runs, or whose response is sent. Empty for the
     * fallback. Absent if there is no such route. Valid until the server is freed.
     */
    transom_bytes route;
    /*
     * Nanoseconds since the state began, to a few milliseconds. A handler that has not waited for
     * anything so far counts from the first call that has seen it.
     */
    uint64_t lasted_ns;
    /*
     * Milliseconds until the server ends what the connection does. -1 if there is no such
     * time, or if it depends on the rate at which the client sends or reads.
     */
    int64_t deadline_ms;
    /* Bytes that were read from the client, as HTTP. */
    uint64_t bytes_in;
    /*
     * Bytes that were written to the client, as HTTP. Of a body that is written piece by piece, up
     * to 4 MiB count later.
     */
    uint64_t bytes_out;
    /* Requests that have ended. */
    uint64_t requests;
    /* The state: a transom_connection_state. */
    int32_t state;
    /* 0. */
    int32_t reserved;
} transom_connection_info;

/*
 * A part of a form, as transom_multipart_next stores it. The bytes are valid until the next call of
 * transom_multipart_next or transom_multipart_free.
 */
typedef struct transom_part {
    /* The name of the field, in UTF-8. Absent if there are no more parts. */
    transom_bytes name;
    /*
     * The name of the file without its folders and control characters, in UTF-8. Absent for a field.
     * It may be empty, and it may be a name that matters to your system: do not open it for writing
     * unchecked.
     */
    transom_bytes filename;
    /* The media type that the client names, with its parameters. Absent if it names none. */
    transom_bytes content_type;
} transom_part;

/*
 * The result of the TLS handshake of a connection. The bytes are valid as long as the request.
 * Later versions of the library may add members at the end.
 */
typedef struct transom_tls_info {
    /* sizeof(transom_tls_info), which you store here before the call. */
    size_t size;
    /* The version of the protocol: "TLSv1.3" or "TLSv1.2". */
    transom_bytes version;
    /* The cipher suite by its name in the registry of IANA, such as "TLS_AES_128_GCM_SHA256". */
    transom_bytes cipher;
    /*
     * The host name that the client asked for (SNI, RFC 6066 3). Absent if it named none, as when
     * the URL has an IP address.
     */
    transom_bytes server_name;
    /*
     * The protocol that client and server agreed on (ALPN, RFC 7301). Absent if the client
     * offered none.
     */
    transom_bytes alpn;
    /* The number of certificates that the client sent: see transom_request_tls_peer_certificate. */
    size_t peer_certificates;
    /* 1 if the client resumed an earlier session and saved a full handshake, or else 0. */
    int32_t resumed;
    /* 0. */
    int32_t reserved;
} transom_tls_info;

/* An event. The structure does not grow. */
typedef struct transom_event {
    /* A transom_event_kind. */
    int32_t kind;
    /* 0. */
    uint32_t reserved;
    /*
     * The subject of the event: the token of a request (GONE, OVER, READABLE, STOPPING), the
     * writer, the transom_upgraded or the transom_websocket as a number (WRITABLE, WRITER_...,
     * UPGRADED_..., WEBSOCKET_...), what transom_events_answer gets (WATCHDOG), or 0 (LOG).
     */
    uint64_t token;
} transom_event;

/*
 * A message, or a piece of one, to be read. It belongs to you: free it with
 * transom_websocket_message_free. Later versions of the library may add members at the end.
 */
typedef struct transom_websocket_message {
    /* The bytes, which are valid until the message is freed. Those of a text are UTF-8. */
    transom_bytes data;
    /* A transom_websocket_kind. */
    int32_t kind;
    /*
     * True for the last piece of a message, and for a whole message. False can only be with
     * TRANSOM_WEBSOCKET_IN_PIECES.
     */
    bool is_last;
} transom_websocket_message;

/*
 * A server-sent event. Set what you do not need to zero:
 *
 *     transom_sse_event event = {.data = TRANSOM_TEXT("news"), .id = TRANSOM_TEXT("7")};
 *
 * All texts are UTF-8, and their lengths may be TRANSOM_NUL_TERMINATED.
 */
typedef struct transom_sse_event {
    /*
     * The data. Each of CR LF, CR and LF begins another line, which the client gets as LF. With
     * {NULL, 0} the client tells its page nothing.
     */
    transom_bytes data;
    /* The name of the event: one line without NUL, or {NULL, 0} for "message". */
    transom_bytes event;
    /*
     * The id: one line without NUL, or {NULL, 0} for none. When the client connects again, it sends the
     * last id that it got in the field Last-Event-ID. An empty id makes the client forget it.
     */
    transom_bytes id;
    /* How long the client waits before it connects again, in milliseconds; 0 leaves it as it is. */
    int64_t retry_ms;
} transom_sse_event;

/* The settings of a response that sends events. 0 stands for the default of each. */
typedef struct transom_sse_settings {
    /*
     * The milliseconds without an event after which a comment is sent, so that nothing on the way takes
     * the connection for dead; default 15,000. TRANSOM_FOREVER turns comments off.
     */
    int64_t keep_alive_ms;
    /* The bytes that may wait to be sent; default 256 KiB. An event is taken whole while fewer wait. */
    size_t queue_limit;
    /* An event that is sent last when the server begins to stop, or NULL. */
    const transom_sse_event *at_stop;
} transom_sse_settings;

/* The start of a request in a batch: see transom_server_next_batch. */
typedef struct transom_request_record {
    /* The bytes of the record, with this header and the padding: a multiple of 8. */
    uint32_t record_len;
    /* The number of the route, as registered. */
    uint32_t route_id;
    /* Identifies the request in the response. */
    uint64_t token;
    /* The bytes of the method. */
    uint32_t method_len;
    /* The bytes of the request target. */
    uint32_t target_len;
    /* The bytes of the path. */
    uint32_t path_len;
    /* The bytes of the query. */
    uint32_t query_len;
    /* The bytes of the header fields. */
    uint32_t headers_len;
    /* The bytes of the peer's address; with TRANSOM_FORWARDED, also of what follows it. */
    uint32_t peer_len;
    /* The number of path parameters. */
    uint32_t param_count;
    /* 10 for HTTP/1.0, 11 for HTTP/1.1. */
    uint16_t version;
    /*
     * TRANSOM_HAS_QUERY, TRANSOM_STREAMS, TRANSOM_HTTPS, TRANSOM_FORWARDED, TRANSOM_TLS and
     * TRANSOM_UPGRADE, or 0.
     */
    uint16_t flags;
    /*
     * The bytes of the body. With TRANSOM_STREAMS it is 0, or the length of the whole body if that is short
     * and has come; transom_token_read reads such a body too.
     */
    uint64_t body_len;
} transom_request_record;

/*
 * The start of a path parameter in a request record: the lengths of the name and of the
 * value, which follow.
 */
typedef struct transom_param_record {
    /* The bytes of the name. */
    uint32_t name_len;
    /* The bytes of the value. */
    uint32_t value_len;
} transom_param_record;

/* The start of a response in a batch: see transom_server_respond_batch. */
typedef struct transom_response_record {
    /* The bytes of the record, with this header and the padding: a multiple of 8. */
    uint32_t record_len;
    /* The status code of the response, from 200 to 599. */
    uint16_t status_code;
    /* TRANSOM_WITHOUT_LENGTH, or 0. */
    uint16_t flags;
    /* Identifies the request. */
    uint64_t token;
    /* The bytes of the header fields. */
    uint32_t headers_len;
    /* 0. */
    uint32_t reserved;
    /* The bytes of the body. */
    uint64_t body_len;
} transom_response_record;

/*
 * The result of the TLS handshake of the connection, in a request record with TRANSOM_TLS, after the
 * body: see transom_tls_info. The four texts follow; one that is absent has no bytes. Then
 * `certificate_count` times: the bytes of a certificate of the client as a uint32_t, and the
 * certificate.
 */
typedef struct transom_tls_record {
    /* The bytes of the version. */
    uint32_t version_len;
    /* The bytes of the cipher suite. */
    uint32_t cipher_len;
    /* The bytes of the name that the client asked for. */
    uint32_t server_name_len;
    /* The bytes of the protocol. */
    uint32_t alpn_len;
    /* The number of certificates of the client. */
    uint32_t certificate_count;
    /* 1 if the client resumed an earlier session, or else 0. */
    uint32_t resumed;
} transom_tls_record;

/* The responses with the same labels, counted: see transom_metrics_snapshot. */
typedef struct transom_series_record {
    /* The bytes of the record, with this header and the padding: a multiple of 8. */
    uint32_t record_len;
    /* TRANSOM_RECORD_SERIES. */
    uint32_t kind;
    /*
     * The sum of the durations in nanoseconds, each from the whole head of the request to the end
     * of the response.
     */
    uint64_t sum_ns;
    /* Bytes of the requests, with heads and framing. */
    uint64_t bytes_in;
    /* Bytes of the responses, with heads and framing. */
    uint64_t bytes_out;
    /* The number of buckets. */
    uint32_t bucket_count;
    /* The bytes of the method; "_OTHER" if it is not well known, or if the head was refused. */
    uint32_t method_len;
    /* The bytes of the scheme: "http" or "https". */
    uint32_t scheme_len;
    /* The bytes of the pattern of the route; 0 without a route, and for the fallback. */
    uint32_t route_len;
    /*
     * The bytes of the error: the name of a transom_reject; "left", "timed-out", "failed" or "cut"
     * as in transom_ended; or a status of 500 or more. 0 if there was no error.
     */
    uint32_t error_len;
    /* The status code; 0 if there was no response. */
    uint16_t status_code;
    /* 10 for HTTP/1.0, 11 for HTTP/1.1, 0 if the head was refused. */
    uint16_t version;
    /* 1 for the overflow, which has no labels, or else 0. */
    uint32_t is_overflow;
    /* 0. */
    uint32_t reserved;
} transom_series_record;

/* A metric that is no response, with its value: see transom_metrics_snapshot. */
typedef struct transom_metric_record {
    /* The bytes of the record, with this header and the padding: a multiple of 8. */
    uint32_t record_len;
    /* TRANSOM_RECORD_METRIC. */
    uint32_t kind;
    /* The value. */
    double value;
    /* A transom_metric_kind. */
    uint32_t metric_kind;
    /* The bytes of the name, such as "transom.connections". */
    uint32_t name_len;
    /* The bytes of the description. */
    uint32_t description_len;
    /* The bytes of the unit: "By", "s", or a noun in braces. */
    uint32_t unit_len;
    /* The bytes of the name of the label; 0 without a label. */
    uint32_t label_len;
    /* The bytes of the value of the label. */
    uint32_t label_value_len;
} transom_metric_record;

/* A compiler that lays the records of a batch out differently fails here. */
#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
#ifdef __cplusplus
#define TRANSOM_STATIC_ASSERT static_assert
#else
#define TRANSOM_STATIC_ASSERT _Static_assert
#endif
TRANSOM_STATIC_ASSERT(sizeof(transom_request_record) == 56, "a request record has 56 bytes");
TRANSOM_STATIC_ASSERT(sizeof(transom_param_record) == 8, "a param record has 8 bytes");
TRANSOM_STATIC_ASSERT(sizeof(transom_tls_record) == 24, "a TLS record has 24 bytes");
TRANSOM_STATIC_ASSERT(sizeof(transom_response_record) == 32, "a response record has 32 bytes");
TRANSOM_STATIC_ASSERT(sizeof(transom_series_record) == 64, "a series record has 64 bytes");
TRANSOM_STATIC_ASSERT(sizeof(transom_metric_record) == 40, "a metric record has 40 bytes");
TRANSOM_STATIC_ASSERT(sizeof(transom_event) == 16, "an event has 16 bytes");
#endif

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus


/* ---- The library --------------------------------------------------------------------- */

/*
 * Returns the TRANSOM_ABI_VERSION of the library that is loaded. If it differs from the
 * header's, the program must not use the library.
 */
uint32_t transom_abi_version(void);

/*
 * Returns the version of the library that is loaded, as "major.minor.patch". The text is
 * static: do not free it.
 */
const char *transom_version(void);

/*
 * Returns true if the library was built with the feature `name`: "access-log", "compression", "cookies", "forms",
 * "metrics", "middleware", "pull", "sse", "tls", "unix" or "websocket".
 * Returns false for any other name and for NULL.
 */
bool transom_has_feature(const char *name);

/*
 * Sends the log messages of the library to `function`. Without this call and without
 * transom_log_to_events, log messages are dropped.
 *
 * Level 1 reports a responder that was freed without a response, a response that cannot be
 * sent, and a thread that cannot be started. Level 2 reports a handler that did not respond
 * before the timeout "handler", a request for which there was no thread (at most once a
 * second), a response body that broke off, and a call that was refused for a mistake of the
 * program and got NULL in place of a transom_error **. Level 4 reports refused requests. A message
 * about one request names its method, the first 90 bytes or so of its path, and the pattern
 * of its route.
 *
 * The logger is set for the whole process until it ends: `user_data` is never freed. It
 * takes no messages away from transom_log_next.
 *
 * Errors: TRANSOM_ALREADY_STARTED if a logger was set before; the first one stays.
 */
transom_status transom_set_logger(transom_log_fn function, void *user_data);

/*
 * Sets the highest level of the messages that the log function gets, from 1 to 5 (see
 * transom_log_fn); 0 is none. Without this call it gets all. Messages that nobody wants cost
 * next to nothing: they are not put into words. May be called at any time, also before
 * transom_set_logger. The messages for transom_log_next have a level of their own.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if `level` is not from 0 to 5.
 */
transom_status transom_set_log_level(int32_t level);

/*
 * Writes a message to the log of the library. It goes where the library's own messages go:
 * to the function of transom_set_logger, and to transom_log_next. Bindings and wrappers
 * report here what a callback of theirs cannot return, such as an exception. `message` is
 * one line of UTF-8.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if `level` is not from 1 to 5.
 */
transom_status transom_log(int32_t level, const char *message);

/*
 * Keeps log messages for transom_log_next, and reports them to `events` as
 * TRANSOM_EVENT_LOG. `level` is the highest level to keep, from 1 to 5 (see
 * transom_log_fn); 0 ends the reports to `events`.
 *
 * The messages are those of the whole process, and they are kept in one queue. If several
 * event queues are told of a message, the first caller of transom_log_next takes it. The
 * highest level that any of them asked for counts.
 *
 * At most 1024 messages are kept. If more come, the new ones are lost, and one warning that
 * says how many takes their place.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if `level` is not from 0 to 5.
 */
transom_status transom_log_to_events(transom_events *events, int32_t level);

/*
 * Takes the oldest message that transom_log_to_events keeps, without waiting. Stores its
 * level in `*level`, copies its text to `buf`, which has room for `cap` bytes, and stores
 * the length in `*len`. The text is one line of UTF-8, not NUL-terminated; control
 * characters are escaped.
 *
 * Errors: TRANSOM_TIMEOUT if there is no message; TRANSOM_BUFFER_TOO_SMALL if `cap` is too
 * small: `*len` is then the length that is needed, at most 4096, and the message stays.
 */
TRANSOM_MUST_USE
transom_status transom_log_next(int32_t *level,
                                uint8_t *buf,
                                size_t cap,
                                size_t *len);


/* ---- Errors -------------------------------------------------------------------------- */

/*
 * Returns the meaning of a status in a few English words, for messages and logs. `status`
 * may be any number. The text is static, do not free it; it is never NULL.
 */
const char *transom_status_text(int32_t status);

/*
 * Returns the status of an error: the one that the failed function returned. Returns
 * TRANSOM_OK for NULL.
 */
transom_status transom_error_code(const transom_error *error);

/*
 * Returns the message of an error: one English sentence that quotes the address, pattern or
 * setting. The text is valid until the error is freed. Returns "" for NULL.
 */
const char *transom_error_message(const transom_error *error);

/* Returns the errno of the system call that failed, or 0 if none did. */
int32_t transom_error_errno(const transom_error *error);

/* Frees an error. Does nothing with NULL. */
void transom_error_free(transom_error *error);

/*
 * Returns true if the bytes are those of `text`, which is NUL-terminated. Absent bytes equal no
 * text, not even "", and nothing equals NULL.
 */
bool transom_bytes_equal(transom_bytes bytes, const char *text);

/*
 * Like transom_bytes_equal, but the case of the letters A to Z does not matter, as in the values
 * of many header fields.
 */
bool transom_bytes_equal_ignore_case(transom_bytes bytes, const char *text);

/*
 * Decodes the %XX of `len` bytes: writes the bytes that they stand for, at most `cap` - 1 of
 * them, and a NUL to `out`. Returns how many bytes the whole is without the NUL, so the text
 * was cut off if that is `cap` or more. The decoded bytes may contain a NUL themselves, and may
 * not be UTF-8. `len` may be TRANSOM_NUL_TERMINATED. `out` may be `data` itself, but must not
 * overlap with it otherwise; with NULL and 0, it only counts.
 *
 * A '%' without two hexadecimal digits after it stays as it is, and so does a '+': it is a space
 * in queries and forms only (transom_request_query_value). Returns 0 for NULL.
 */
size_t transom_percent_decode(const void *data, size_t len, char *out, size_t cap);


/* ---- Server: creating and freeing ---------------------------------------------------- */

/*
 * Creates a server without routes. Free it with transom_server_free. Returns NULL only if
 * the library has a defect.
 */
transom_server *transom_server_new(void);

/*
 * Stops a server, waits for its threads, and frees the server and all its user data. Does
 * nothing with NULL.
 *
 * A running server is stopped as by transom_server_stop; the deadline is the timeout "stop",
 * 10 seconds by default. This function returns at most 200 ms after the deadline.
 *
 * Nothing else may use the server at the same time, except its own handlers: threads in
 * transom_server_next_batch and transom_server_wait must have returned. This function does
 * not wait for a handler that calls it, nor for one that is still running after the
 * deadline. In these cases a thread of the library frees the server once the handler has
 * returned, and runs the thread hooks.
 *
 * In a forked child, this does nothing to a server that was started before the fork.
 */
void transom_server_free(transom_server *server);


/* ---- Server: routes ------------------------------------------------------------------ */

/*
 * Calls `handler` for requests with this method and with a path that matches `pattern`. This
 * is short for transom_route_new and transom_server_add, for a route without settings of its
 * own.
 *
 * The handler runs on a pool of threads and may block. If all threads of the pool are busy
 * (the limit "pool_threads") and its queue is full ("pool_queue"), the client gets a 503. In
 * the models "threads" and "sequential", which have no pool, the handler runs on the thread
 * of its connection and may block too: see transom_server_set_model.
 *
 * `method` is case-sensitive; NULL or "*" is any method without a route of its own. A route
 * for GET also gets HEAD requests. In a pattern, {name} matches one segment of the path, and
 * {*name} at the end matches the rest of the path, which may be empty: "/users/{id}",
 * "/files/{*path}". Routes of different methods may name the parameters of a path
 * differently.
 *
 * Errors: TRANSOM_BAD_ROUTE if no request could match the pattern, or if the route exists
 * already; the message tells why and shows the correct form. TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_route(transom_server *server,
                                    const char *method,
                                    const char *pattern,
                                    transom_handler_fn handler,
                                    void *user_data,
                                    transom_free_fn free_fn,
                                    transom_error **error);

/*
 * Adds a route. The route belongs to the server from this call on, and is freed if it is
 * refused.
 *
 * Errors: as transom_server_route, or what was wrong with a setting of the route.
 */
transom_status transom_server_add(transom_server *server,
                                  transom_route *route,
                                  transom_error **error);

/*
 * Uses a route for the requests whose path matches no other route, which get a 404
 * otherwise. Its method and its pattern are not used and may be NULL. The route belongs to
 * the server from this call on. A second call replaces the first.
 *
 * Errors: TRANSOM_ALREADY_STARTED, or what was wrong with a setting of the route.
 */
transom_status transom_server_set_fallback(transom_server *server,
                                           transom_route *route,
                                           transom_error **error);

/*
 * Makes a route whose requests `handler` answers: see transom_server_route. Add it with
 * transom_server_add, after you have set what is particular to it. What is wrong with the
 * arguments is reported then. Returns NULL only if the library has a defect.
 */
transom_route *transom_route_new(const char *method,
                                 const char *pattern,
                                 transom_handler_fn handler,
                                 void *user_data,
                                 transom_free_fn free_fn);

/*
 * Makes a route whose requests are queued for transom_server_next_batch. `route_id` is any
 * number; the record of each request has it. Otherwise as transom_route_new.
 */
transom_route *transom_route_new_pull(const char *method, const char *pattern, uint32_t route_id);

/* Frees a route that was not added. Does nothing with NULL. */
void transom_route_free(transom_route *route);

/*
 * Sets the most bytes of a request body of this route, in place of the limit "body" of the
 * server. A larger body gets a 413.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the value is out of the range of the limit "body".
 * transom_server_add reports it too, so the status need not be looked at.
 */
transom_status transom_route_set_body_limit(transom_route *route, uint64_t bytes);

/*
 * Sets the time from the call of the handler of this route to its response, in milliseconds,
 * in place of the timeout "handler" of the server. TRANSOM_FOREVER turns it off.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the time is 0 or negative. transom_server_add reports it
 * too, so the status need not be looked at.
 */
transom_status transom_route_set_timeout(transom_route *route, int64_t timeout_ms);

/*
 * With true, the handler of this route is called when the head of a request has come, and reads
 * the body with transom_request_read while it comes. A request whose route is pulled is queued
 * then. Without this, a body is read whole before.
 */
transom_status transom_route_set_streaming(transom_route *route, bool streaming);

/*
 * With true, runs the handler of this route on the thread that serves the connection, in
 * every model. This is fastest. The handler must not block: everything else on that thread
 * waits until it returns. Has no effect on a route whose requests are pulled.
 */
transom_status transom_route_set_inline(transom_route *route, bool inline_);

/*
 * Runs `before` before the handler of this route, and `after` after it: as transom_server_wrap
 * does for all routes. On a route that becomes the fallback, they run for the requests that
 * the fallback gets.
 *
 * Errors: TRANSOM_NULL_ARGUMENT if both functions are NULL.
 */
transom_status transom_route_wrap(transom_route *route,
                                  transom_before_fn before,
                                  transom_after_fn after,
                                  void *user_data,
                                  transom_free_fn free_fn);


/* ---- Server: settings, before the start ---------------------------------------------- */

/*
 * Chooses how the server drives its connections: `name` is "event" (the default), "threads"
 * or "sequential". Handlers, limits, timeouts and stops work the same way in each model. The
 * models differ in the thread that runs a handler, and in what a client waits for.
 *
 * "event": A few workers serve all connections and run the inline handlers. The other
 * handlers run on a pool of threads. A client waits for no other client, unless an inline
 * handler blocks its worker.
 *
 * "threads": Each connection has a thread, which runs all its handlers; they may block. When
 * there are as many connections as the limit "connection_threads" allows, further clients
 * wait in the backlog of the kernel. To make room for them, the server closes a connection
 * after its response, or when it has sent no request for the timeout "drain".
 *
 * "sequential": One thread serves one connection at a time and runs all handlers, so that no
 * two handlers ever run at the same time; they may block. All other clients wait in the
 * backlog of the kernel, whose length is the limit "backlog". The connection that is served
 * makes room for them as in "threads".
 *
 * In "threads" and "sequential", a handler that blocks also blocks its connection: the
 * server notices only after the handler has returned that the client has left, or that the
 * timeout "handler" or the deadline of a stop has passed. A handler that returns at once,
 * and sends its response later from another thread, avoids this. So does a handler that waits
 * for its connection in transom_writer_write or transom_request_read: the connection is served
 * meanwhile.
 *
 * "threads" and "sequential" exist on Linux only. Elsewhere the start fails with
 * TRANSOM_INVALID_ARGUMENT.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT for any other name, TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_model(transom_server *server,
                                        const char *name,
                                        transom_error **error);

/*
 * Sets the number of threads that serve connections in the model "event", from 1 to 1024.
 * The default is one for each processor. Handlers that may block have other threads: see
 * transom_server_route.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the number is out of range, TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_workers(transom_server *server,
                                          size_t workers,
                                          transom_error **error);

/*
 * Sets the file mode of the Unix sockets that the server binds, at most 0777. The mode
 * decides who may connect: 0660 is the owner and the group (see unix(7)). Without this call,
 * the umask decides.
 *
 * A socket that is bound after this call has its mode before any client can connect. A
 * socket that was bound before gets the mode when the server starts. Sockets from
 * transom_server_listen_fd keep theirs, and abstract names ("unix:@name") have none.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the mode is more than 0777, TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_unix_mode(transom_server *server,
                                            uint32_t mode,
                                            transom_error **error);

/*
 * Lets the TCP addresses that the server binds after this call be shared (SO_REUSEPORT, socket(7)):
 * other sockets with this option, also of other processes of the same user, may listen on the same
 * address, and the kernel spreads new connections over them.
 *
 * When a server stops, the connections that wait in the backlog of its socket are reset, although
 * another process listens on the address; with the sysctl net.ipv4.tcp_migrate_req, Linux gives
 * them to another socket. Processes that share one socket lose none: see transom_server_listener
 * and transom_server_hand_over.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_reuse_port(transom_server *server,
                                             bool reuse_port,
                                             transom_error **error);

/*
 * Sets one limit on what clients can make the server do. The names, meanings and defaults:
 *
 *     "target"                   bytes of a request target                    8192
 *     "head"                     bytes of a request head                     32768
 *     "headers"                  header fields of a request                    100
 *     "body"                     bytes of a request body                  10485760
 *     "chunk_extensions"         bytes of the extensions of one chunk         4096
 *     "trailers"                 bytes of a trailer section                   8192
 *     "connections"              open connections                            10000
 *     "connections_per_address"  open connections from one IP address, and
 *                                requests in progress of one client
 *                                behind trusted proxies;
 *                                0 is no limit                                   0
 *     "handshakes"               connections in the steps before HTTP: a
 *                                PROXY header, a TLS handshake                1024
 *     "head_rate"                least bytes per second of a request head,
 *                                after ten seconds; 0 is no limit              100
 *     "body_rate"                least bytes per second of a request body,
 *                                while the server waits for it;
 *                                0 is no limit                                 500
 *     "write_rate"               least bytes per second of a response that
 *                                a client must take, while the server
 *                                waits for it; 0 is no limit                   500
 *     "bodies"                   bytes of request bodies in memory, for
 *                                all connections together                268435456
 *     "output"                   bytes of output that wait in a
 *                                connection                                  65536
 *     "drain"                    bytes of an unread request body that are
 *                                read to keep a connection                  262144
 *     "pool_threads"             threads for handlers that may
 *                                block, in the model "event"       2 for each processor,
 *                                                                  at least 8
 *     "pool_queue"               requests that wait for those threads,
 *                                and requests in the pull queue               1024
 *     "connection_threads"       threads that serve connections, in the
 *                                model "threads"                               512
 *     "thread_stack"             bytes of stack of each of those threads;
 *                                a handler that needs more ends the
 *                                process                                   2097152
 *     "backlog"                  connections that the kernel holds until
 *                                they are accepted; 0 is 1024 for sockets
 *                                that the server binds, and no change
 *                                for sockets that it was given                   0
 *
 * transom_limit_range tells which values a limit may have.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no such limit or the value is out of range;
 * the message lists the names or the range. TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_limit(transom_server *server,
                                        const char *name,
                                        uint64_t value,
                                        transom_error **error);

/*
 * Stores the smallest value that the limit `name` may have in `*least`, and the largest in
 * `*most`. Either pointer may be NULL.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no such limit.
 */
transom_status transom_limit_range(const char *name, uint64_t *least, uint64_t *most);

/*
 * Stores the smallest value that the timeout `name` may have in `*least`, and the largest in
 * `*most`, in milliseconds. TRANSOM_FOREVER is allowed besides. Either pointer may be NULL.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no such timeout.
 */
transom_status transom_timeout_range(const char *name, int64_t *least, int64_t *most);

/*
 * Sets one timeout, in milliseconds. TRANSOM_FOREVER turns the timeout off. The names,
 * meanings and defaults:
 *
 *     "head"         receiving a request head, from its first byte       10000
 *     "idle"         a connection without a request                      60000
 *     "handshake"    all steps before HTTP together: a PROXY header, a
 *                    TLS handshake                                       10000
 *     "body"         waiting for a request body that is slower than
 *                    the limit "body_rate"                               30000
 *     "write"        waiting for a client that takes its response more
 *                    slowly than the limit "write_rate"                  30000
 *     "handler"      the time from the call of a handler to its
 *                    response                                            60000
 *     "drain"        reading the rest of a request body to keep the
 *                    connection                                           1000
 *     "linger"       closing a connection so that the client can read
 *                    the last response                                   30000
 *     "linger_idle"  the same, without a byte from the client             5000
 *     "stop"         requests in progress when the server is freed       10000
 *     "stop_delay"   accepting clients after a stop has begun, within
 *                    its deadline                                            0
 *     "watchdog"     a worker, the pool, the pull queue or another part
 *                    of the server that does not turn; the log then
 *                    says what is stuck                                    off
 *
 * "drain", "linger", "linger_idle", "stop" and "stop_delay" may be 0. The others may not, because 0 would
 * end everything at once. "watchdog" is at least 10, and off if TRANSOM_FOREVER. transom_timeout_range tells which values a timeout may have.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no such timeout or the time is out of
 * range; the message lists the names or the range. TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_timeout(transom_server *server,
                                          const char *name,
                                          int64_t timeout_ms,
                                          transom_error **error);

/*
 * Runs `start` first and `stop` last on every thread of the library that runs handlers,
 * callbacks or free functions of this server. Interpreters, virtual machines and allocators
 * that must know each thread need this. Either function may be NULL. A second call replaces
 * the first.
 *
 * `free_fn` runs after the last call of `stop`, so perhaps on a thread for which `stop` has
 * run. The log function belongs to no server, and runs on any thread.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_thread_hooks(transom_server *server,
                                               transom_callback_fn start,
                                               transom_callback_fn stop,
                                               void *user_data,
                                               transom_free_fn free_fn);

/*
 * Answers requests for this host, and for those of other calls, only. A request with another
 * Host gets a 421. Without a call, the server answers for every host.
 *
 * `host` is a name or an address: "example.com", "127.0.0.1", "[::1]". With a port
 * ("example.com:8080"), it allows that port alone; without one, any. Case does not matter.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if no Host field could be equal to `host`,
 * TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_allow_host(transom_server *server,
                                         const char *host,
                                         transom_error **error);

/*
 * Allows the hosts by which a machine reaches itself: "localhost", "127.0.0.1" and "[::1]".
 * Call this for a server on a loopback address: it then refuses web pages whose own name
 * resolves to this machine (DNS rebinding). Otherwise as transom_server_allow_host.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_allow_loopback_hosts(transom_server *server, transom_error **error);

/*
 * Expects a PROXY header, version 1 or 2, at the beginning of each connection, as HAProxy
 * ("send-proxy"), nginx ("proxy_protocol on") and cloud load balancers send it. This holds for
 * the sockets that are added or bound after this call, by transom_server_bind,
 * transom_server_listen_fd and transom_server_start. With `networks` NULL, the sockets after this
 * call expect none again.
 *
 * `networks` has the addresses of the proxies, separated by commas: networks ("10.0.0.0/8",
 * "2001:db8::/32"), single addresses ("127.0.0.1"), and "unix" for all clients of Unix sockets. A
 * connection from another address is closed, and so is one whose header is missing or malformed:
 * TRANSOM_REJECT_UNTRUSTED_PROXY and TRANSOM_REJECT_BAD_PROXY_HEADER count them.
 *
 * The client that the header names is that of transom_request_peer, of the limit
 * "connections_per_address" and of the log. Its destination is the one of
 * transom_request_local_address, and the proxy is that of transom_request_connection_peer. The
 * header has the timeout "handshake". A health check of the proxy keeps the proxy's address.
 *
 * Errors: TRANSOM_BAD_ADDRESS if a network is malformed, TRANSOM_INVALID_ARGUMENT if there is
 * none, TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_proxy_protocol(transom_server *server,
                                                 const char *networks,
                                                 transom_error **error);

/*
 * Believes trusted proxies where a request came from: transom_request_peer,
 * transom_request_scheme, the exchange hook and the log then tell of the real client.
 * transom_request_connection_peer still tells of the proxy, and the header fields stay as they are.
 *
 * `fields` says which fields the proxies write: "x-forwarded" (X-Forwarded-For and
 * X-Forwarded-Proto, and X-Forwarded-Host if `with_host` is true) or "forwarded" (RFC 7239; its
 * "host=" if `with_host` is true). The others, which a proxy passes on as the client sent them, are
 * not believed. The proxy must set each of the fields, or remove it. With `with_host`,
 * transom_request_host and transom_server_allow_host use the host that the proxy tells.
 *
 * `networks` has the addresses of the proxies, as in transom_server_set_proxy_protocol. Requests
 * on connections from other addresses are not believed. The fields are read from their end, past
 * the addresses of trusted proxies, up to the first address that is not trusted. An address that
 * is malformed or hidden ("unknown", "_name") ends the search, and the hop before it counts.
 *
 * The connections of trusted proxies do not count for the limit "connections_per_address".
 * Instead, so many requests of one client may be in progress at once, and further ones get a 503.
 *
 * A second call replaces the first. With `networks` NULL, no proxy is believed.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if `fields` has another name or there is no network,
 * TRANSOM_BAD_ADDRESS if a network is malformed, TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_trust_forwarded(transom_server *server,
                                              const char *fields,
                                              const char *networks,
                                              bool with_host,
                                              transom_error **error);

/*
 * Limits how long requests wait, so that the server stays useful when more comes than it can do.
 * It then answers what it can answer soon, and refuses the rest at once with a 503 and Retry-After:
 * TRANSOM_REJECT_OVERLOADED counts them. Their connections stay open. Without this call, only the
 * limits on numbers, such as "pool_queue", bound what waits.
 *
 * A request may wait for `interval_ms` milliseconds, until something has always waited for that long: from then
 * on, for `target_ms` only, until nothing was refused for an interval. 0 is the default: 5 and 100.
 * Where requests move on slowly, both are longer: the time of 8 and of 32 requests.
 *
 * Requests wait for a thread of the pool, for the worker that runs an inline handler (with the model
 * "event"), and in the queue of the pull routes, until they are fetched. See
 * transom_route_set_priority for what is refused first. While the pool is overloaded, an address with
 * more than its share of the pool is refused before others; an IPv6 client counts as its /64.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if a time is negative, or if the target is more than the
 * interval, TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_overload(transom_server *server,
                                           int64_t target_ms,
                                           int64_t interval_ms,
                                           transom_error **error);

/*
 * Reserves places for the connections of each socket that is added or bound after this call, by
 * transom_server_bind, transom_server_listen_fd, transom_server_start and their like, beside the limit
 * "connections": health checks can then connect although the server is full. Further connections take
 * common places. With the model "threads", each such socket has as many threads of its own, beside
 * "connection_threads", and further connections wait in the backlog. The model "sequential" serves one
 * connection at a time, of whichever socket. 0 reserves none for the sockets after this call.
 *
 * Let only those connect to such a socket who watch the server.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_reserve(transom_server *server,
                                      size_t places,
                                      transom_error **error);

/*
 * Reserves places for the connections of a socket that was added before: by transom_server_listen_fd,
 * transom_server_listen_inherited or transom_server_bind. `index` counts from 0 in the order in which the
 * sockets were added. Otherwise as transom_server_reserve.
 *
 * Errors: TRANSOM_OUT_OF_RANGE if there is no such socket; TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_listener_reserve(transom_server *server,
                                                   size_t index,
                                                   size_t places,
                                                   transom_error **error);

/*
 * Sets how long requests of this route may wait when the server is overloaded, compared with those
 * of other routes: `name` is "low" (half as long, so they are refused first), "normal" (the default),
 * "high" (twice as long), or "vital" (never refused because of overload, and first in the queues of the
 * pool and of the pull routes). The routes of transom_server_readiness and transom_server_liveness are
 * vital.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT for any other name. transom_server_add reports it too, so the
 * status need not be looked at.
 */
transom_status transom_route_set_priority(transom_route *route,
                                          const char *name);

/*
 * Creates the congestion of a queue that is empty. The times are those of
 * transom_server_set_overload. Free it with transom_congestion_free. Returns NULL if a time is not
 * allowed, if there is no room for another object, and in a fork of a process that has used one.
 */
transom_congestion *transom_congestion_new(int64_t target_ms, int64_t interval_ms);

/* Frees a congestion. Does nothing with NULL, nor when it was freed before. */
void transom_congestion_free(transom_congestion *congestion);

/* Tells that nothing waits: a request that came now would begin now. */
void transom_congestion_note_idle(transom_congestion *congestion);

/* Returns true if more comes than can be done. */
bool transom_congestion_is_overloaded(transom_congestion *congestion);

/*
 * Returns true if a request may join the queue, where `waiting` requests wait, the oldest for
 * `oldest_ns` nanoseconds. If false, it would wait too long: refuse it. `priority` is a name as for
 * transom_route_set_priority; any other is "normal".
 */
bool transom_congestion_admits(transom_congestion *congestion,
                               const char *priority,
                               size_t waiting,
                               uint64_t oldest_ns);

/*
 * Returns true if a request may begin, or go on waiting, that has waited for `waited_ns` nanoseconds. If
 * false, it has waited too long: refuse it. `priority` is that of transom_congestion_admits.
 */
bool transom_congestion_may_start(transom_congestion *congestion,
                                  const char *priority,
                                  uint64_t waited_ns);

/*
 * Tells that `count` requests begin, of which the first has waited for `waited_ns` nanoseconds. So the
 * congestion learns how fast the queue moves on. Leave out those with the priority "vital".
 */
void transom_congestion_note_start(transom_congestion *congestion,
                                   uint64_t waited_ns,
                                   uint32_t count);


/* ---- TLS: certificates and keys ------------------------------------------------------ */

/*
 * Creates TLS without a certificate. Free it with transom_tls_free. Returns NULL if there is no
 * room for another object, and in a fork of a process that has used TLS.
 */
transom_tls *transom_tls_new(void);

/*
 * Frees TLS. The sockets that have it keep it. Does nothing with NULL, nor when it was freed
 * before.
 */
void transom_tls_free(transom_tls *tls);

/*
 * Adds a certificate and its key, in two files in PEM. The certificate comes first in its file,
 * and those that lead to a known authority follow. The key may be in PKCS#8, PKCS#1 or SEC1,
 * without a passphrase. At least one certificate is needed. A client gets the certificate that
 * has the name that it asks for (SNI). A client that asks for another name, or for none, gets the
 * first.
 *
 * The files are not read by this call: see transom_tls.
 *
 * Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
 */
transom_status transom_tls_add_files(transom_tls *tls, const char *certificate, const char *key);

/*
 * Adds a certificate and its key in PEM, as transom_tls_add_files. The lengths may be
 * TRANSOM_NUL_TERMINATED. The bytes are copied.
 *
 * Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
 */
transom_status transom_tls_add_pem(transom_tls *tls,
                                   const void *certificate,
                                   size_t certificate_len,
                                   const void *key,
                                   size_t key_len);

/*
 * Asks each client for a certificate that one of the authorities in this file, in PEM, has
 * issued. A client without one gets no connection, unless certificates are optional
 * (transom_tls_set_client_certificates_optional). transom_request_tls_peer_certificate returns
 * them. Further calls add authorities.
 *
 * Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
 */
transom_status transom_tls_add_client_authorities_file(transom_tls *tls, const char *authorities);

/*
 * The same with the certificates of the authorities in PEM. The length may be
 * TRANSOM_NUL_TERMINATED. The bytes are copied.
 *
 * Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
 */
transom_status transom_tls_add_client_authorities(transom_tls *tls, const void *pem, size_t len);

/*
 * Adds a file with a list, in PEM, of certificates of clients that are revoked (RFC 5280 5).
 *
 * Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
 */
transom_status transom_tls_add_client_revocations_file(transom_tls *tls, const char *revocations);

/*
 * Lets clients in that have no certificate. A certificate that a client does send must be valid.
 *
 * Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
 */
transom_status transom_tls_set_client_certificates_optional(transom_tls *tls);

/*
 * Sets the protocols that the server offers (ALPN), the preferred one first; without a call that
 * is "http/1.1". A client that offers only others gets no connection (RFC 7301 3.2). With a
 * `count` of 0, whatever the client offers is ignored. The lengths may be TRANSOM_NUL_TERMINATED
 * (see TRANSOM_TEXT).
 *
 * There are at most 16 protocols, each of 1 to 255 bytes; others are refused when the files are
 * read.
 *
 * Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
 */
transom_status transom_tls_set_protocols(transom_tls *tls,
                                         const transom_bytes *protocols,
                                         size_t count);

/*
 * Sets the least version of TLS, "1.2" or "1.3"; without a call it is 1.2.
 *
 * Errors: TRANSOM_BAD_TLS for another text; TRANSOM_ALREADY_STARTED if the settings are fixed.
 */
transom_status transom_tls_set_least_version(transom_tls *tls,
                                             const char *version,
                                             transom_error **error);

/*
 * Reads the files again when they have changed. A handshake looks for that, at most once in
 * `interval_ms` milliseconds, on a thread that serves connections: the files are best on a local
 * disk. If the new files are not valid, the log says why, and the old ones stay in use. Without a
 * call, only transom_tls_reload reads them again.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the interval is negative; TRANSOM_ALREADY_STARTED if the
 * settings are fixed.
 */
transom_status transom_tls_set_watch(transom_tls *tls, int64_t interval_ms);

/*
 * Reads the files again: certificates, keys, authorities and revocations. Handshakes that begin
 * from now on use what was read. Connections that are open stay as they are. If no socket has
 * this TLS yet, the files are read for the first time, which checks the settings.
 *
 * Errors: TRANSOM_BAD_TLS; the message names the file and says what is wrong: it cannot be read,
 * it holds no certificate or no key, or the key is not that of the certificate. What was in use
 * stays in use.
 */
TRANSOM_MUST_USE transom_status transom_tls_reload(transom_tls *tls, transom_error **error);

/*
 * Puts a certificate and a key in PEM in place of all that there were, as a client of ACME does
 * that keeps them in memory. The lengths may be TRANSOM_NUL_TERMINATED. The bytes are copied.
 *
 * Errors: as transom_tls_reload.
 */
TRANSOM_MUST_USE
transom_status transom_tls_replace(transom_tls *tls,
                                   const void *certificate,
                                   size_t certificate_len,
                                   const void *key,
                                   size_t key_len,
                                   transom_error **error);


/* ---- Access log ---------------------------------------------------------------------- */

/*
 * Creates an access log that adds its lines to a file, which is made if there is none. Stores it
 * in `log`. Its format is "common". Free it with transom_access_log_free.
 *
 * Errors: TRANSOM_IO or TRANSOM_PERMISSION_DENIED if the file cannot be opened, with the errno;
 * TRANSOM_NO_MEMORY if there is no room for another object; TRANSOM_FORKED.
 */
TRANSOM_MUST_USE
transom_status transom_access_log_open(const char *path,
                                       transom_access_log **log,
                                       transom_error **error);

/*
 * Creates an access log that writes to a descriptor, such as that of the standard output. The log
 * writes to a copy of it. Stores the log in `log`. Its format is "common". Free it with
 * transom_access_log_free. On Windows `fd` is a HANDLE.
 *
 * Errors: as transom_access_log_open.
 */
TRANSOM_MUST_USE
transom_status transom_access_log_open_fd(transom_descriptor fd,
                                          transom_access_log **log,
                                          transom_error **error);

/*
 * Creates an access log that calls `function` with its lines. Stores it in `log`. Its format is
 * "common". Free it with transom_access_log_free. `free_fn` runs after the last call of `function`.
 *
 * Errors: as transom_access_log_open.
 */
TRANSOM_MUST_USE
transom_status transom_access_log_new(transom_log_write_fn function,
                                      void *user_data,
                                      transom_free_fn free_fn,
                                      transom_access_log **log,
                                      transom_error **error);

/*
 * Frees an access log. The servers that have it keep it. If none has it, waits for up to 2 seconds
 * until its lines are written. Does nothing with NULL, nor when it was freed before.
 */
void transom_access_log_free(transom_access_log *log);

/*
 * Sets the format of the lines, for the servers that get the log after this call:
 *
 * - "common": the common log format, `192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a HTTP/1.1"
 *   200 2326` in one line;
 * - "combined": the same, and then the fields Referer and User-Agent in quotes;
 * - "json": an object of JSON in each line, with the names of OpenTelemetry as keys;
 * - a format of directives, which are those of Apache's LogFormat, such as
 *   `%h %t "%r" %>s %O %D "%{Referer}i" "%{X-Request-Id}o"`.
 *
 * The directives are %h or %a (the client), %A and %p (the address and the port at which the
 * connection came in), %l and %u (always "-"), %t (the time in brackets), %r (the request line), %m,
 * %U, %q, %H (its method, path, query with "?", protocol), %s or %>s (the status), %O, %B or %b (bytes of
 * the response), %I (bytes of the request), %D, %{ms}T, %T, %L (the duration in microseconds,
 * milliseconds, seconds, seconds with six decimals), %{Name}i and %{Name}o (a header field of the
 * request, and of the response as the handler made it), %R (the pattern of the route), %E (the reason of
 * a refusal, or how an exchange that was not answered ended), and %% (a percent sign).
 *
 * The time is when the head of the request had been read, in UTC. The bytes are those of the
 * response with its head. What is not known is "-", or left out of JSON. What a client has sent is
 * escaped, so that it forges neither a line nor a field.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT for another name, and for an unknown directive.
 */
transom_status transom_access_log_set_format(transom_access_log *log,
                                             const char *name,
                                             transom_error **error);

/*
 * Sets a format of the program's own, for the servers that get the log after this call. Control
 * bytes in its lines other than tabs are written as `\xhh`, so that an exchange never has two
 * lines. The log then has no lines about lost lines. `free_fn` runs when neither the log nor a server
 * uses the format any more.
 */
transom_status transom_access_log_set_own_format(transom_access_log *log,
                                                 transom_log_format_fn function,
                                                 void *user_data,
                                                 transom_free_fn free_fn);

/*
 * Sets how many bytes of lines may wait to be written; 4 MiB without a call. Further lines are
 * lost.
 */
transom_status transom_access_log_set_buffer(transom_access_log *log, size_t bytes);

/*
 * Opens the file of the log again, after it was renamed: logrotate does that. No line is lost. When
 * this returns TRANSOM_OK, no more lines go to the old file.
 *
 * Errors: TRANSOM_IO or TRANSOM_PERMISSION_DENIED if the file cannot be opened, and the log goes on
 * with the old one; also if the log has a function in place of a file, and if it writes to the old
 * file for more than 2 seconds.
 */
transom_status transom_access_log_reopen(transom_access_log *log, transom_error **error);

/*
 * Waits until the lines of all responses that were given before are written, or lost. A timeout of
 * -1 is no limit.
 *
 * Errors: TRANSOM_TIMEOUT if that takes longer.
 */
transom_status transom_access_log_flush(transom_access_log *log, int64_t timeout_ms);

/* Returns the number of lines that were lost. Returns 0 for an object that was freed. */
uint64_t transom_access_log_lost(const transom_access_log *log);

/*
 * Writes a line to an access log for each response of the server. A server may have several logs,
 * and several servers one. The server keeps the log, with the format that it has now, when you free
 * it.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_add_access_log(transom_server *server, const transom_access_log *log);


/* ---- Compression --------------------------------------------------------------------- */

/*
 * Creates the default settings of compressed responses. Free them with transom_compression_free. Returns
 * NULL if there is no room for another object, and in a fork of a process that has used them.
 */
transom_compression *transom_compression_new(void);

/* Frees the settings. Does nothing with NULL, nor when they were freed before. */
void transom_compression_free(transom_compression *compression);

/*
 * Sets the codings and their order, such as "br, gzip": of those that a client likes alike, the first is
 * taken. By default "zstd, br, gzip".
 *
 * Errors: TRANSOM_INVALID_ARGUMENT for a name that is none of these.
 */
transom_status transom_compression_set_codings(transom_compression *compression,
                                               const char *codings,
                                               transom_error **error);

/*
 * Sets the level of a coding: 1 to 19 for "zstd" (default 3), 0 to 11 for "br" (4), 1 to 9 for "gzip" (4). The
 * nearest is taken. Higher levels take more time and make less.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no such coding.
 */
transom_status transom_compression_set_level(transom_compression *compression,
                                             const char *name,
                                             uint32_t level,
                                             transom_error **error);

/* Sets how many bytes a response must have to be compressed; default 1 KiB. */
transom_status transom_compression_set_min_size(transom_compression *compression, uint64_t bytes);

/*
 * Sets the media types that are compressed, separated by commas. A star stands for all subtypes of a type,
 * and before a "+" for all types with that suffix: see docs/compression.md. By default those of texts, and
 * a few others that are not compressed already.
 */
transom_status transom_compression_set_types(transom_compression *compression,
                                             const char *types);

/*
 * Limits the streams that are compressed at once; default 1,024. Each holds 250 KiB with zstd, 400 KiB with
 * gzip and 750 KiB with brotli. Further ones are sent as they are.
 */
transom_status transom_compression_set_max_streams(transom_compression *compression,
                                                   size_t count);

/*
 * Compresses responses for clients that accept it (RFC 9110 8.4): zstd, brotli or gzip. With NULL for
 * `compression`, with the default settings.
 *
 * A response is compressed if its media type is one of those that are set, and it is long enough or of
 * unknown length. It then has a weak ETag, and "Vary: accept-encoding" whether this client has it
 * compressed or not. A response is sent as it is if it has a Content-Encoding, is a part (206), has a
 * checksum of its bytes such as Repr-Digest, or says "Cache-Control: no-transform". A stream is compressed as
 * it comes, and what there is leaves whenever there is no more for now. docs/compression.md tells more,
 * also what compression can tell an attacker of a secret.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_compression(transom_server *server,
                                              const transom_compression *compression,
                                              transom_error **error);

/*
 * Decompresses the bodies of requests of this route (RFC 9110 8.4): zstd, brotli or gzip, to at most
 * `limit` bytes. The handler gets the body as it was before it was compressed, whole or as a stream, without
 * the field Content-Encoding. The limit of the route for bodies holds before.
 *
 * A larger body gets a 413 when the limit is reached, one that is malformed a 400, and one with another
 * coding, or with several, a 415. A handler that reads a stream gets TRANSOM_BODY_TOO_LARGE or
 * TRANSOM_BAD_BODY instead. transom_route_set_decompression_memory limits the memory.
 */
transom_status transom_route_set_decompression(transom_route *route,
                                               uint64_t limit);

/*
 * Limits the memory for decompressed bodies of all requests of this route together, in bytes; default 256
 * MiB. A whole body counts with its bytes, and a stream with the largest window of its coding: 64 KiB for
 * gzip, 9 MiB for zstd and 17 MiB for brotli. What goes beyond gets a 503. The route decompresses, to at most
 * 10 MiB a body unless transom_route_set_decompression says otherwise.
 */
transom_status transom_route_set_decompression_memory(transom_route *route,
                                                      size_t max_memory);


/* ---- Metrics ------------------------------------------------------------------------- */

/*
 * Creates metrics that have counted nothing, with at most `max_series` series; 0 is the usual number,
 * 2,000. The responses that would make one more count in one series, the overflow. Free them with
 * transom_metrics_free. Returns NULL if there is no room for another object, and in a fork of a
 * process that has used metrics.
 */
transom_metrics *transom_metrics_new(size_t max_series);

/*
 * Frees metrics. The servers that have them keep them. Does nothing with NULL, nor when they were
 * freed before.
 */
void transom_metrics_free(transom_metrics *metrics);

/*
 * Counts the responses of this server in `metrics`.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_add_metrics(transom_server *server, const transom_metrics *metrics);

/*
 * Adds a route for GET that answers with `metrics` as text for Prometheus: in the format of
 * OpenMetrics 1.0 if the client accepts it, or else in version 0.0.4 of its own. No handler of
 * the program runs, so it also answers while they are stuck. The server need not count in
 * the metrics itself: see transom_server_add_metrics.
 *
 * Errors: as transom_server_route.
 */
transom_status transom_server_add_metrics_route(transom_server *server,
                                                const char *pattern,
                                                const transom_metrics *metrics,
                                                transom_error **error);

/*
 * Fills `buf`, which has room for `cap` bytes, with the metrics as text for Prometheus, version
 * 0.0.4, without a NUL. Stores the number of bytes in `*len`. With `cap` 0, `buf` may be NULL.
 *
 * Errors: TRANSOM_BUFFER_TOO_SMALL if the text does not fit: `*len` is then the room that it needs
 * now. Allow for some more: it grows with each new series, and with the digits of the numbers.
 */
transom_status transom_metrics_text(const transom_metrics *metrics,
                                    char *buf,
                                    size_t cap,
                                    size_t *len);

/*
 * Fills `buf`, which has room for `cap` bytes, with the metrics as records. Stores their bytes in
 * `*len`. With `cap` 0, `buf` may be NULL. No response waits for this.
 *
 * Errors: TRANSOM_BUFFER_TOO_SMALL if the records do not fit: `*len` is then the room that they need
 * now. Allow for some more: each new series has a record.
 *
 * Each record starts with its length and its kind, a transom_metric_record_kind; skip kinds that
 * you do not know. A transom_series_record is followed by `bucket_count` numbers, each a uint64_t:
 * how many durations are in each bucket of the histogram (see transom_metrics_bounds), not
 * cumulated. Then come the texts, as long as the record says and in the order of its members: the
 * method, the scheme, the route and the error. A transom_metric_record is followed by its texts:
 * the name, the description, the unit, and the name and the value of its label. Padding makes the
 * length a multiple of 8, so in a buffer that is aligned to 8 each record is.
 */
transom_status transom_metrics_snapshot(const transom_metrics *metrics,
                                        void *buf,
                                        size_t cap,
                                        size_t *len);

/*
 * Returns the number of shards of the metrics, which does not change. Returns 0 for an object that was
 * freed.
 */
size_t transom_metrics_shard_count(const transom_metrics *metrics);

/*
 * As transom_metrics_snapshot, but with the responses alone that shard `index` has counted, from 0 on.
 * A thread counts in a shard of its own, which another thread goes on with when it has ended. There are
 * more shards than cores, and the threads for which there is none share the last one. If no more threads
 * than there are cores serve, a worker with much less to do than the others shows.
 *
 * Errors: as transom_metrics_snapshot; TRANSOM_INVALID_ARGUMENT if there is no such shard.
 */
transom_status transom_metrics_shard_snapshot(const transom_metrics *metrics,
                                              size_t index,
                                              void *buf,
                                              size_t cap,
                                              size_t *len);

/*
 * Returns the bounds between the buckets of the histograms in seconds, and stores their number in
 * `*count`, which may be NULL. There is one bucket more than bounds. A bound belongs to the bucket
 * below it. The numbers are static, do not free them; the result is never NULL.
 */
const double *transom_metrics_bounds(size_t *count);


/* ---- The status page ----------------------------------------------------------------- */

/*
 * Adds a live status page at `path`, such as "/status", and its stream of events at `path`/events. The
 * page shows in a browser what the servers of `metrics` do: requests a second, times, routes, statuses,
 * connections, refusals, deadlines, and the requests that last longest. See docs/status.md. The
 * server should count in the metrics itself: see transom_server_add_metrics.
 *
 * `check` says which clients may see the page; others get a 403. It runs on a thread that serves
 * connections, on several at the same time, and must not block. With NULL, the page answers clients on this
 * machine only: on a loopback address or a Unix socket, and not by way of a proxy.
 *
 * No handler of the program and no thread of the pool takes part, so the page works while they are
 * stuck. The functions of transom_server_wrap run before it. In the model "sequential" an open page holds
 * the server.
 *
 * Errors: as transom_server_route.
 */
transom_status transom_server_add_status(transom_server *server,
                                         const char *path,
                                         const transom_metrics *metrics,
                                         transom_status_check_fn check,
                                         void *user_data,
                                         transom_free_fn free_fn,
                                         transom_error **error);

/*
 * Adds a live status page that asks for a user name and a password (HTTP Basic, RFC 7617): see
 * transom_server_add_status. They go over the network as they are: use TLS.
 *
 * Errors: as transom_server_route; TRANSOM_INVALID_ARGUMENT if the password is empty, or if the user
 * name has a colon.
 */
transom_status transom_server_add_status_password(transom_server *server,
                                                  const char *path,
                                                  const transom_metrics *metrics,
                                                  const char *user,
                                                  const char *password,
                                                  transom_error **error);


/* ---- Static files -------------------------------------------------------------------- */

/*
 * Opens a folder to serve its files. Stores the object in `files`. Free it with transom_files_free. The
 * path may be a link that a deployment points elsewhere: it is looked up again each second.
 *
 * Errors: TRANSOM_IO if the folder cannot be opened, with the errno; TRANSOM_NO_MEMORY if there is no room
 * for another object; TRANSOM_FORKED.
 */
TRANSOM_MUST_USE
transom_status transom_files_new(const char *root,
                                 transom_files **files,
                                 transom_error **error);

/* Frees the object. Servers that have it keep it. Does nothing with NULL, nor when it was freed before. */
void transom_files_free(transom_files *files);

/*
 * Sets a number, for the servers that get the object after this call:
 *
 *     "precompressed"    1 sends app.js.zst, app.js.br or app.js.gz for
 *                        app.js to clients that take it                       0
 *     "listing"          1 lists a folder without an index                    0
 *     "listing_limit"    the most entries of such a page                  10000
 *     "dotfiles"         1 serves names that begin with a dot                 0
 *     "downloads"        1 has clients store files under their names          0
 *     "range_limit"      the most parts of one request; beyond it, the
 *                        whole file is sent; with 0, there are no parts      32
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no such setting, or its value is neither 0 nor 1 where only
 * these are possible.
 */
transom_status transom_files_set(transom_files *files,
                                 const char *name,
                                 uint64_t value,
                                 transom_error **error);

/*
 * Sets the name of the file that answers for its folder, by default "index.html". NULL turns it off.
 *
 * Errors: TRANSOM_NOT_UTF8.
 */
transom_status transom_files_set_index(transom_files *files,
                                       const char *name,
                                       transom_error **error);

/*
 * Answers with the file of this path below the folder, with 200, where there is no file: for an application
 * in the browser that has paths of its own. A path whose last segment has a dot gets a 404 as before, unless
 * the Accept field names "text/html".
 *
 * Errors: TRANSOM_NOT_UTF8.
 */
transom_status transom_files_set_single_page(transom_files *files,
                                             const char *path,
                                             transom_error **error);

/*
 * Sets the charset of texts, by default "utf-8". NULL leaves it away. It is neither for XML, which tells by
 * itself, nor for the types of transom_files_add_content_type.
 *
 * Errors: TRANSOM_BAD_HEADER if it is no token; TRANSOM_NOT_UTF8.
 */
transom_status transom_files_set_charset(transom_files *files,
                                         const char *charset,
                                         transom_error **error);

/*
 * Sets the Cache-Control of the files whose path matches a pattern, such as "*.html". One star is any text
 * without a slash, two are any text; a pattern without a slash is for names in each folder. If several match,
 * the first counts.
 *
 * Errors: TRANSOM_BAD_HEADER if the value is not that of a field; TRANSOM_NOT_UTF8.
 */
transom_status transom_files_add_cache_control(transom_files *files,
                                               const char *pattern,
                                               const char *value,
                                               transom_error **error);

/*
 * Sets the Content-Type of the files with an extension, in place of the usual one. An empty extension is for
 * names that have none.
 *
 * Errors: TRANSOM_BAD_HEADER if the type is not the value of a field; TRANSOM_NOT_UTF8.
 */
transom_status transom_files_add_content_type(transom_files *files,
                                              const char *extension,
                                              const char *content_type,
                                              transom_error **error);

/*
 * Serves the files for GET and HEAD under a prefix, such as "/static": "/static/app.js" is the file "app.js".
 * An empty prefix serves at "/". Routes that are more specific win. No function of the program runs, except
 * those of transom_server_wrap.
 *
 * Errors: as transom_server_route.
 */
transom_status transom_server_add_files(transom_server *server,
                                        const char *prefix,
                                        const transom_files *files,
                                        transom_error **error);

/*
 * Answers a GET or HEAD with one regular file, as transom_files answers: conditional requests and ranges get
 * 206, 304, 412 or 416. The path is opened as it is. If it comes from a client, use transom_files. `fields`
 * are added, in place of those of the same name; without a Content-Type, it is guessed from the name.
 * `download_as` is a name under which the client stores the file (Content-Disposition; what is not safe
 * becomes "_"), or NULL.
 *
 * Opening a file may wait for the disk: call this where the program may block. `request` is the one that the
 * responder answers.
 *
 * Errors: as transom_responder_send; TRANSOM_INVALID_ARGUMENT if the path is no regular file, TRANSOM_IO if it
 * cannot be opened, with the errno, and TRANSOM_NOT_UTF8. After the last three, the responder can still be used.
 */
transom_status transom_responder_send_path(transom_responder *responder,
                                           const transom_request *request,
                                           const char *path,
                                           const transom_field *fields,
                                           size_t field_count,
                                           const char *download_as,
                                           transom_error **error);


/* ---- Server: hooks, before the start ------------------------------------------------- */

/*
 * Calls `function` once for each response of the server, when it was written or when the
 * connection has ended before that: for an access log and for metrics. It is also
 * called for the responses of the server itself: refused requests, 404, 405, and connections
 * for which there is no room. After several calls each function is called for each response, in
 * that order.
 *
 * `function` runs on a thread that serves connections, on several at the same time, and must
 * not block.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_on_exchange(transom_server *server,
                                          transom_exchange_fn function,
                                          void *user_data,
                                          transom_free_fn free_fn);

/*
 * Has `function` word the answers that the server gives by itself: refused requests, 404,
 * 405, and the 500 of a responder that was freed. So an API that speaks JSON answers these in
 * JSON too. A second call replaces the first.
 *
 * `response` holds the status code and the text that the server would send, to be changed by
 * the functions for a transom_response. Fields of the answer that are not shown there stay,
 * unless you set one of the same name: Allow, Retry-After, and what after functions have set.
 * A status code of 200 does not replace the answer's.
 *
 * `function` runs once for an answer, on a thread that serves connections, on several at the
 * same time, and must not block.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_own_answers(transom_server *server,
                                          transom_own_answer_fn function,
                                          void *user_data,
                                          transom_free_fn free_fn);

/*
 * Sets the body of the answers that the server gives by itself with a status code: refused
 * requests, 404, 405, and the 500 of a responder that was freed. `status_code` 0 stands for all
 * status codes that have no body of their own. `{status}` in the body becomes the status code, and
 * `{reason}` its reason phrase. `{detail}` becomes the sentence that says what was refused, which has
 * no character that JSON or HTML would need to escape. Where there is none, as for a 404, the body is
 * sent without the parts between `{?` and `?}`. Other fields of the answer stay: Allow, Retry-After.
 *
 * This is for languages whose code cannot run on a thread of the library. Elsewhere,
 * transom_server_own_answers also knows the request; its function gets the response with this body.
 *
 * The body is UTF-8; `len` may be TRANSOM_NUL_TERMINATED. A second call for a status code replaces
 * the first.
 *
 * Errors: TRANSOM_BAD_STATUS_CODE unless `status_code` is 0 or 400 to 599, TRANSOM_BAD_HEADER if
 * the content type cannot be sent, TRANSOM_NOT_UTF8, TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_own_body(transom_server *server,
                                           uint16_t status_code,
                                           const char *content_type,
                                           const void *body,
                                           size_t len,
                                           transom_error **error);

/*
 * Runs `before` before the handlers of the server, and `after` after them, for every request
 * that the server accepts: those of routes, pulled or not, those of the fallback, and those
 * that get a 404 or a 405. Either function may be NULL. For refused requests, see
 * transom_server_own_answers. transom_route_wrap does this for one route.
 *
 * This can be called several times. The first registration is the outermost: its `before`
 * runs first and its `after` last. The functions of a route run inside those of the server. If a
 * `before` answers, neither its own `after` nor any function inside it runs.
 *
 * `before` sees the request with its body, unless the route streams. `after` sees a copy
 * without the body, and the response, also the 500 of a responder that was freed. It does not
 * run if the timeout "handler" passes.
 *
 * Both run on a thread that serves connections, on several at the same time, and must not
 * block (in the models "threads" and "sequential" they may).
 *
 * Errors: TRANSOM_NULL_ARGUMENT if both functions are NULL, TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_wrap(transom_server *server,
                                   transom_before_fn before,
                                   transom_after_fn after,
                                   void *user_data,
                                   transom_free_fn free_fn);


/* ---- Ready middleware ---------------------------------------------------------------- */

/*
 * Makes ready middleware by its name, and stores it in `*out`. `argument` is NULL if it needs none:
 *
 * "cors": pages of other origins may read the answers, errors and the server's own answers included.
 * "basic_auth", "bearer_auth": only who has a password or a token gets through; the argument is the realm.
 * "security_headers": fields that tell browsers to be strict.
 * "request_ids": an identifier for each request, in the field X-Request-Id of request and response, and a
 * traceparent.
 * "canonical_host": redirects to the host that is the argument.
 * "trailing_slash": redirects to the path with or without a slash; the argument is "add" or "remove".
 * "rate_limit": so many requests in so many seconds of each address: "100/60".
 * "concurrency_limit": so many requests at once: "4".
 * "cache_control": the field Cache-Control of responses that have none; the argument is its value.
 *
 * docs/content.md has their settings.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT, with a sentence in `*error`; `*out` is then NULL.
 */
transom_status transom_middleware_new(const char *name,
                                      const char *argument,
                                      transom_middleware **out,
                                      transom_error **error);

/*
 * Changes a setting of middleware before it is used. `value` is NULL if the setting needs none. A setting
 * such as "origin" may be set several times, and adds to the others.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT, with a sentence in `*error`.
 */
transom_status transom_middleware_set(transom_middleware *middleware,
                                      const char *setting,
                                      const char *value,
                                      transom_error **error);

/*
 * Uses middleware around all routes of a server, and around its 404 and 405, inside what was used or
 * wrapped before (transom_server_wrap).
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_use(transom_server *server, const transom_middleware *middleware);

/*
 * Uses middleware around a route, inside what was used or wrapped before (transom_route_wrap). "cors" and
 * "trailing_slash" belong around a server: a route does not get the requests that concern them.
 */
transom_status transom_route_use(transom_route *route,
                                 const transom_middleware *middleware);

/* Frees middleware. Servers and routes that use it keep it. Does nothing with NULL. */
void transom_middleware_free(transom_middleware *middleware);

/*
 * Returns the name of a transom_reject, such as "missing-host", for logs and counters. It
 * never changes. `reject` may be any number: the name of 0 is "", that of an unknown reason
 * "unknown". The text is static, do not free it; it is never NULL.
 */
const char *transom_reject_name(int32_t reject);


/* ---- Server: listening, starting, stopping ------------------------------------------- */

/*
 * Listens on an address, before the server is started. Clients can connect at once, and are
 * served once the server is started. May be called several times.
 *
 * `address` has one of these forms:
 *
 *     "127.0.0.1:8080", "[::1]:8080", "localhost:8080"
 *     "127.0.0.1:0"           the system picks a port: see transom_server_port
 *     "[fe80::1%eth0]:8080"   a link-local address with its interface
 *     "unix:/run/app.sock"    a Unix socket: see transom_server_set_unix_mode
 *     "unix:@name"            an abstract name, on Linux (see unix(7)); a file
 *                             of such a name is "unix:./@name"
 *
 * Errors: TRANSOM_BAD_ADDRESS, TRANSOM_ADDRESS_IN_USE, TRANSOM_PERMISSION_DENIED,
 * TRANSOM_IO, TRANSOM_ALREADY_STARTED.
 */
TRANSOM_MUST_USE
transom_status transom_server_bind(transom_server *server,
                                   const char *address,
                                   transom_error **error);

/*
 * Lets the server start without an address and a socket. Clients then connect with
 * transom_server_connect only.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_set_unbound(transom_server *server);

/*
 * Adds a listening TCP or Unix stream socket that the program inherited. The descriptor
 * belongs to the server if this succeeds, and stays yours if it fails.
 *
 * On Windows `fd` is a SOCKET of TCP.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if `fd` is not such a socket, TRANSOM_ALREADY_STARTED.
 */
TRANSOM_MUST_USE
transom_status transom_server_listen_fd(transom_server *server,
                                        transom_descriptor fd,
                                        transom_error **error);

/*
 * Starts the server: listens on `address` (see transom_server_bind) and on every socket that
 * was added before, and starts the threads. Clients can connect once this has returned
 * TRANSOM_OK. `address` may be NULL if a socket was added before, or after transom_server_set_unbound. Handlers may run before
 * this function returns, and may stop the server.
 *
 * After a failure, the server may be started again, for example on another address. After
 * TRANSOM_IO, the sockets that were added before are closed.
 *
 * Errors: TRANSOM_BAD_ADDRESS, TRANSOM_ADDRESS_IN_USE, TRANSOM_PERMISSION_DENIED,
 * TRANSOM_IO; TRANSOM_INVALID_ARGUMENT if there is nothing to listen on or a setting has an
 * impossible value; TRANSOM_ALREADY_STARTED; TRANSOM_FORKED in a fork of a process in which
 * a server was started.
 */
TRANSOM_MUST_USE
transom_status transom_server_start(transom_server *server,
                                    const char *address,
                                    transom_error **error);

/*
 * Returns the TCP port that the server listens on, the first if there are several. Returns 0
 * if the server was not started, or listens on Unix sockets only.
 */
uint16_t transom_server_port(const transom_server *server);

/*
 * Writes an address that the server listens on to `buf`, such as "127.0.0.1:8080" or
 * "unix:/run/app.sock". `index` counts from 0 in the order in which the addresses were
 * added.
 *
 * Works as snprintf: at most `cap` bytes are written, the last of which is a NUL, and the
 * length of the whole text without the NUL is returned. Returns 0 if there is no such
 * address or the server was not started.
 */
size_t transom_server_address(const transom_server *server, size_t index, char *buf, size_t cap);

/*
 * Returns a copy of a listening socket of the server, to hand it over to a successor, such as
 * the next version of the program, so that no client is refused in between. The descriptor
 * belongs to you. `index` counts as in transom_server_address.
 *
 * The successor gets the descriptor over an exec (clear FD_CLOEXEC in the child) or a Unix
 * socket (SCM_RIGHTS), and listens on it with transom_server_listen_fd. Then stop this server:
 * it leaves the socket, and the file of a Unix socket, alone from this call on. While both
 * run, either accepts clients.
 *
 * On Windows it is a SOCKET, to close with closesocket.
 *
 * Returns -1 if there is no such socket, if the server was not started or listens no more, or
 * if the system has no descriptor.
 */
transom_descriptor transom_server_listener(const transom_server *server, size_t index);

/*
 * Begins to stop the server, and returns at once. The server stops listening and closes idle
 * connections. Requests in progress have `deadline_ms` milliseconds to end, after which they
 * are cut off; TRANSOM_FOREVER is no deadline. May be called in a handler, but not in a
 * signal handler. A second call can only shorten the deadline.
 *
 * Errors: TRANSOM_NOT_STARTED, TRANSOM_INVALID_ARGUMENT if the time is negative.
 */
transom_status transom_server_stop(transom_server *server, int64_t deadline_ms);

/*
 * Returns true once the server was told to stop, by transom_server_stop or
 * transom_server_free. A handler that has much to send, and a thread that feeds a stream, ask
 * this to end in order before the deadline. Also true after the stop. Costs one lock.
 */
bool transom_server_is_stopping(const transom_server *server);

/*
 * Waits until the server has stopped and its threads have ended, at most `timeout_ms`
 * milliseconds (TRANSOM_FOREVER: no limit). It does not stop the server: call
 * transom_server_stop before, or on another thread.
 *
 * Errors: TRANSOM_TIMEOUT, TRANSOM_NOT_STARTED, TRANSOM_WOULD_DEADLOCK on a thread of the
 * server, TRANSOM_INVALID_ARGUMENT if the time is negative.
 */
transom_status transom_server_wait(transom_server *server, int64_t timeout_ms);

/*
 * Stores in `*out` how many of the requests in progress have finished and how many were cut
 * off since the server was told to stop. May be called at any time; the numbers are final
 * once the server has stopped.
 *
 * Errors: TRANSOM_NOT_STARTED; TRANSOM_INVALID_ARGUMENT if `out->size` is not a size of the
 * structure.
 */
transom_status transom_server_report(const transom_server *server, transom_report *out);

/*
 * Listens on an address, as transom_server_bind, and speaks TLS 1.3 and 1.2 there. The server
 * keeps its own reference to `tls`: see transom_tls. All else holds over TLS too. A request
 * without TLS gets a 400 in plain text. The limit "handshakes" and the timeout "handshake" are
 * for what comes before HTTP.
 *
 * Errors: those of transom_server_bind; TRANSOM_BAD_TLS, with a message that names the file, if a
 * certificate, a key or a setting cannot be used.
 */
TRANSOM_MUST_USE
transom_status transom_server_bind_tls(transom_server *server,
                                       const char *address,
                                       const transom_tls *tls,
                                       transom_error **error);

/*
 * Listens on an address, as transom_server_bind, and answers each request there with a 308 to
 * the same address by https. Requests below /.well-known/acme-challenge/ are served, so that an
 * authority can check who has the name (RFC 8555 8.3). `https_port` is the port of the new
 * address; 0 is that of the first socket of this server that speaks TLS.
 *
 * Errors: those of transom_server_bind; TRANSOM_INVALID_ARGUMENT if `https_port` is 0 and no TCP
 * socket speaks TLS yet.
 */
TRANSOM_MUST_USE
transom_status transom_server_bind_redirect(transom_server *server,
                                            const char *address,
                                            uint16_t https_port,
                                            transom_error **error);

/*
 * Gives TLS to a socket that was added before: by transom_server_listen_fd,
 * transom_server_listen_inherited or transom_server_bind. `index` counts from 0 in the order in
 * which the sockets were added. Otherwise as transom_server_bind_tls.
 *
 * Errors: TRANSOM_OUT_OF_RANGE if there is no such socket; TRANSOM_BAD_TLS;
 * TRANSOM_ALREADY_STARTED.
 */
TRANSOM_MUST_USE
transom_status transom_server_set_listener_tls(transom_server *server,
                                               size_t index,
                                               const transom_tls *tls,
                                               transom_error **error);

/*
 * Redirects the requests of a socket that was added before to https, as
 * transom_server_bind_redirect. `index` is as in transom_server_set_listener_tls.
 *
 * Errors: TRANSOM_OUT_OF_RANGE if there is no such socket; TRANSOM_INVALID_ARGUMENT if
 * `https_port` is 0 and no TCP socket speaks TLS yet; TRANSOM_ALREADY_STARTED.
 */
TRANSOM_MUST_USE
transom_status transom_server_set_listener_redirect(transom_server *server,
                                                    size_t index,
                                                    uint16_t https_port,
                                                    transom_error **error);


/* ---- Server: restarts ---------------------------------------------------------------- */

/*
 * Adds the listening sockets that another process passed to this one: a predecessor, with
 * transom_server_hand_over, or systemd, with socket activation (see sd_listen_fds(3)). Stores
 * their number in `*count`, which may be NULL; it is 0 if the process was started in another
 * way, and the program then listens on an address of its own:
 *
 *     size_t count;
 *     if (transom_server_listen_inherited(server, &count, NULL) != TRANSOM_OK)
 *         return 1;
 *     if (count == 0 && transom_server_bind(server, "127.0.0.1:8080", NULL) != TRANSOM_OK)
 *         return 1;
 *
 * The sockets have the order in which they were passed; transom_server_listener_name returns
 * their names. Each is closed in a program that this process executes. Only the process that
 * the sockets are meant for gets them (LISTEN_PID), and only the first call does. The
 * environment is not changed. A predecessor learns that this process serves when the server
 * starts.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if a descriptor is no listening TCP or Unix stream socket;
 * TRANSOM_IO if the predecessor fails; TRANSOM_ALREADY_STARTED.
 */
TRANSOM_MUST_USE
transom_status transom_server_listen_inherited(transom_server *server,
                                               size_t *count,
                                               transom_error **error);

/*
 * Writes the name of a socket that was passed to this process to `buf`, such as
 * FileDescriptorName= in a systemd unit. `index` counts as in transom_server_address.
 *
 * Works as snprintf: at most `cap` bytes are written, the last of which is a NUL, and the
 * length of the whole text without the NUL is returned. Returns 0 if the socket has no name,
 * if there is no such socket, or if the server was not started.
 */
size_t transom_server_listener_name(const transom_server *server,
                                    size_t index,
                                    char *buf,
                                    size_t cap);

/*
 * Hands the server over to a successor, such as the next version of the program: starts the
 * program `argv[0]` with the arguments `argv`, which end with NULL, passes all listening
 * sockets to it, and waits until it serves, at most `timeout_ms` milliseconds. Then stop this
 * server: its requests finish, and no client is refused in between. Until then both accept
 * clients.
 *
 * The successor calls transom_server_listen_inherited and starts the server. It runs as the
 * same user when it does. Its environment is this one's, with the variable TRANSOM_HANDOVER.
 * It also takes over the files of Unix sockets that this server would remove at its end. Its
 * process id is stored in `*pid`, which may be NULL: it is a child of this process, to be
 * waited for as any other. Linux only.
 *
 * If this fails, the child was killed and waited for, and this server goes on to serve. The
 * call blocks; do not make it in an inline handler.
 *
 * Errors: TRANSOM_IO, with a message: the program cannot be executed, it has ended, it has
 * given the sockets up, it does not serve in time, or another hand-over is in progress.
 * TRANSOM_INVALID_ARGUMENT if `argv` is empty or the time is negative; TRANSOM_NOT_STARTED.
 */
transom_status transom_server_hand_over(transom_server *server,
                                        const char *const *argv,
                                        int64_t timeout_ms,
                                        int64_t *pid,
                                        transom_error **error);

/*
 * Notes that another process serves on the same sockets, such as one that has got a socket from
 * transom_server_listener, or shares those that were passed to both. transom_server_hand_over
 * does it by itself.
 *
 * transom_server_stop then leaves new clients to the other process from its beginning. For the
 * timeout "stop_delay" after that, connections that wait for requests stay open, and each closes
 * after a response, so that no request meets a close. Without this call, the server accepts clients
 * for that time, and closes a connection that has not sent its request by then.
 *
 * Errors: TRANSOM_NOT_STARTED.
 */
transom_status transom_server_note_successor(transom_server *server);

/*
 * Adds a route for GET that tells a load balancer whether to send requests here: it answers
 * 200 "ready", and 503 "stopping" with Retry-After once a stop has begun. Set the timeout
 * "stop_delay" to a little more than the load balancer takes to notice: for that time the
 * server still accepts clients. No handler of the program runs.
 *
 * Errors: as transom_server_route.
 */
transom_status transom_server_add_readiness(transom_server *server,
                                            const char *pattern,
                                            transom_error **error);

/*
 * Tells systemd what the server does (see sd_notify(3)), if systemd started the program with
 * Type=notify: that it serves (READY=1), that a stop has begun (STOPPING=1), and that its
 * workers turn (WATCHDOG=1, with WatchdogSec=). A successor of transom_server_hand_over
 * becomes the main process of the service (MAINPID=).
 *
 * The watchdog is fed four times in its interval. A worker that a handler blocks for the
 * whole interval is stuck, and so is the pool of threads or the pull queue if requests wait there
 * and none is begun for as long, and what transom_server_set_load and transom_server_watch_events
 * add. The log then says which, and the watchdog is not fed: systemd restarts the service. In
 * the model "sequential" each handler blocks the one worker, so the interval must be longer
 * than the slowest handler takes.
 *
 * Without NOTIFY_SOCKET this does nothing. With it, the server has one more thread.
 *
 * Errors: TRANSOM_ALREADY_STARTED.
 */
transom_status transom_server_notify_systemd(transom_server *server);

/*
 * Tells systemd that the program reloads (RELOADING=1); transom_server_notify_ready ends this.
 * Does nothing unless transom_server_notify_systemd was called.
 *
 * Errors: TRANSOM_NOT_STARTED.
 */
transom_status transom_server_notify_reloading(transom_server *server);

/*
 * Tells systemd that the program has reloaded (READY=1). At the start the server tells it
 * itself. Otherwise as transom_server_notify_reloading.
 *
 * Errors: TRANSOM_NOT_STARTED.
 */
transom_status transom_server_notify_ready(transom_server *server);

/*
 * Shows a text in `systemctl status` (STATUS=). Control characters become spaces. Otherwise as
 * transom_server_notify_reloading.
 *
 * Errors: TRANSOM_NOT_STARTED.
 */
transom_status transom_server_notify_status(transom_server *server, const char *status);


/* ---- Server: the watchdog ------------------------------------------------------------ */

/*
 * Stores the parts of the server that have not turned for the timeout "watchdog" in `out`, which
 * has room for `capacity` structures of `size` bytes; `size` is sizeof(transom_stuck). Stores their
 * number in `*count`, which may be larger than `capacity`. Without that timeout there are none,
 * unless systemd has a watchdog for the program (transom_server_notify_systemd): its interval counts
 * then. May be called at any time after the start.
 *
 * Errors: TRANSOM_NOT_STARTED; TRANSOM_INVALID_ARGUMENT if `size` is not a size of the structure.
 */
transom_status transom_server_stuck(const transom_server *server,
                                    transom_stuck *out,
                                    size_t size,
                                    size_t capacity,
                                    size_t *count);

/*
 * Adds a route for GET that tells whether the server turns: it answers 200 "alive", and 503 with
 * the names of the parts that are stuck while the timeout "watchdog" says so. Without that timeout
 * the answer is always 200. No handler of the program runs, and no thread of the pool is needed.
 * Kubernetes asks for it (livenessProbe). A worker that is stuck answers nothing, which counts as
 * well. It stays 200 during a stop: see transom_server_add_readiness.
 *
 * Errors: as transom_server_route.
 */
transom_status transom_server_add_liveness(transom_server *server,
                                           const char *pattern,
                                           transom_error **error);

/*
 * Tells the watchdog the load of a part of your program, such as a queue for threads of your own:
 * how many jobs wait, and how many were begun so far. The part is stuck if jobs wait and none is
 * begun for the timeout "watchdog". Call this whenever a number has changed, or now and then. The
 * first call for a name adds the part, which is watched until the server has stopped.
 *
 * Without a watchdog this does nothing. Costs one lock.
 *
 * Errors: TRANSOM_NOT_STARTED.
 */
transom_status transom_server_set_load(transom_server *server,
                                       const char *name,
                                       uint64_t waiting,
                                       uint64_t begun);

/*
 * Has the watchdog watch the thread or the event loop of yours that takes events from a queue. A
 * few times in the interval of the timeout "watchdog" the queue gets TRANSOM_EVENT_WATCHDOG; answer
 * it with transom_events_answer. If no answer comes for the interval, the part `name` is stuck.
 * `detail` is the text for the log that says why that may be; it may be NULL.
 *
 * Without a watchdog no event comes. The watch ends with the queue or when the server has stopped.
 *
 * Errors: TRANSOM_NOT_STARTED.
 */
transom_status transom_server_watch_events(transom_server *server,
                                           transom_events *events,
                                           const char *name,
                                           const char *detail);

/*
 * Answers TRANSOM_EVENT_WATCHDOG. `token` is that of the event. The thread that takes the events
 * calls this, once it could do other work. An answer to a watch that has ended does nothing.
 */
transom_status transom_events_answer(transom_events *events, uint64_t token);

/*
 * Stores the counters of the server in `*out`. May be called at any time after the start. It
 * goes through all connections, and keeps new ones waiting meanwhile: call it once a second
 * rather than for each request.
 *
 * Errors: TRANSOM_NOT_STARTED; TRANSOM_INVALID_ARGUMENT if `out->size` is not a size of the
 * structure.
 */
transom_status transom_server_stats(const transom_server *server, transom_stats *out);

/*
 * Returns how many requests and connections the server has refused for a reason, a
 * transom_reject, since the start. Returns 0 if the server was not started, and for a number
 * that is no reason. Costs as much as transom_server_stats.
 */
uint64_t transom_server_refused(const transom_server *server, int32_t reject);

/*
 * Stores the connections of the server in `out`, which has room for `capacity` structures of
 * `size` bytes; `size` is sizeof(transom_connection_info). Stores the number of all connections in
 * `*count`, which may be larger than `capacity`. Connections that have not begun with HTTP, such as
 * those in a TLS handshake, are not there. May be called at any time after the start, also while
 * each handler is stuck. Costs as much as transom_server_stats.
 *
 * Errors: TRANSOM_NOT_STARTED; TRANSOM_INVALID_ARGUMENT if `size` is not a size of the structure.
 */
transom_status transom_server_connections(const transom_server *server,
                                          transom_connection_info *out,
                                          size_t size,
                                          size_t capacity,
                                          size_t *count);

/*
 * Returns how many connections are in a state, a transom_connection_state. Returns 0 if the server
 * was not started, and for a number that is no state. Costs as much as transom_server_stats.
 */
uint64_t transom_server_in_state(const transom_server *server, int32_t state);

/*
 * Returns how many deadlines of a kind, a transom_deadline, have passed since the start. Returns 0
 * if the server was not started, and for a number that is no kind. Costs as much as
 * transom_server_stats.
 */
uint64_t transom_server_expired(const transom_server *server, int32_t deadline);

/*
 * Returns the name of a transom_connection_state, such as "reading-head". It never changes. `state`
 * may be any number: the name of an unknown state is "unknown". The text is static, do not free it;
 * it is never NULL.
 */
const char *transom_connection_state_name(int32_t state);

/*
 * Returns the name of a transom_deadline, such as "idle". It never changes. `deadline` may be any
 * number: the name of an unknown kind is "unknown". The text is static, do not free it; it is never
 * NULL.
 */
const char *transom_deadline_name(int32_t deadline);


/* ---- Request: reading, until it is answered ------------------------------------------ */

/* Returns the method, such as "GET". Methods are case-sensitive. */
transom_bytes transom_request_method(const transom_request *request);

/*
 * Returns the path of the request target without the query, percent-encoded. The path, the
 * query and the target are ASCII: other characters, which a client must send as UTF-8, are
 * percent-encoded in them.
 */
transom_bytes transom_request_path(const transom_request *request);

/*
 * Returns the query: the part of the request target after the first '?', percent-encoded.
 * Absent if there is no '?'.
 */
transom_bytes transom_request_query(const transom_request *request);

/*
 * Returns the whole request target, percent-encoded: the path and the query, or the absolute
 * form that clients send to a proxy.
 */
transom_bytes transom_request_target(const transom_request *request);

/*
 * Returns the whole body, without the framing of chunks. Empty if the request has no body, and
 * if the route streams (transom_route_set_streaming): read the body with transom_request_read
 * then.
 */
transom_bytes transom_request_body(const transom_request *request);

/*
 * Reads the body piece by piece: stores up to `cap` bytes in `buf`, and their number in `*len`.
 * 0 bytes are the end of the body. Waits until there is something, at most `timeout_ms`
 * milliseconds (0: does not wait, TRANSOM_FOREVER: no limit; the client must still keep up
 * the limit "body_rate"). The body of a route that streams (transom_route_set_streaming) comes
 * while it is read, in bounded memory: the client is asked for more only after a part was read,
 * and a client that waits for "100 Continue" gets it with the first read. Any other body is in
 * memory already.
 *
 * Several threads may read; each byte goes to one of them. The response may be sent at any
 * time. Once it is sent whole, the request is not valid any more; if it is written piece by
 * piece, the body can be read until the writer has ended. The timeout "handler" starts again
 * with each part of the body that comes.
 *
 * Errors after which you may read again: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and
 * TRANSOM_TIMEOUT. Errors that end the body; a response can still be sent: TRANSOM_GONE if the
 * client has left; TRANSOM_TOO_SLOW; TRANSOM_BODY_TOO_LARGE if the body exceeds the limit "body",
 * or that of the route; TRANSOM_BAD_BODY; TRANSOM_NO_MEMORY. Other errors: TRANSOM_WOULD_DEADLOCK
 * if this would have to wait on a thread that serves the connection;
 * TRANSOM_INVALID_ARGUMENT if `cap` is 0 or the time is negative. `*len` is then 0.
 */
TRANSOM_MUST_USE
transom_status transom_request_read(const transom_request *request,
                                    void *buf,
                                    size_t cap,
                                    int64_t timeout_ms,
                                    size_t *len);

/*
 * Returns all header fields in the order received, as "name: value" lines that each end in
 * CR LF.
 */
transom_bytes transom_request_raw_headers(const transom_request *request);

/*
 * Returns the address of the client as text: "127.0.0.1:1234", "[::1]:1234" or "unix". This is
 * the other end of the connection, or the client that a trusted proxy named: see
 * transom_server_set_proxy_protocol and transom_server_trust_forwarded. Then the port may be
 * unknown, and the text is an address alone: "192.0.2.7", "2001:db8::7". Otherwise no byte of the client's has an influence on it.
 */
transom_bytes transom_request_peer(const transom_request *request);

/* Returns the version of HTTP: 10 for HTTP/1.0, 11 for HTTP/1.1. Returns 0 for NULL. */
int32_t transom_request_version(const transom_request *request);

/*
 * Returns the value of the first header field with this name, whose case does not matter.
 * Absent if there is no such field.
 */
transom_bytes transom_request_header(const transom_request *request, const char *name);

/* Returns the number of header fields. A name that is repeated counts each time. */
size_t transom_request_header_count(const transom_request *request);

/*
 * Stores one header field in `*field`; its name is as it was written. `index` counts from 0
 * in the order received. The field can be sent back as it is: see transom_responder_send.
 *
 * Errors: TRANSOM_OUT_OF_RANGE if there is no such field; name and value are then absent.
 */
transom_status transom_request_header_at(const transom_request *request,
                                         size_t index,
                                         transom_field *field);

/*
 * Stores the first `max` header fields in `out`, in the order received, and returns the number
 * of all. A name that is repeated counts each time. Call this with 0 to learn the number. The
 * fields can be sent back as they are: see transom_responder_send.
 */
size_t transom_request_headers(const transom_request *request, transom_field *out, size_t max);

/*
 * Returns the value of the first trailer field with this name, whose case does not matter.
 * Absent if there is no such field, and before the body was read to its end. A trailer is what
 * the client sent after the body, and has no influence on how the request was handled.
 */
transom_bytes transom_request_trailer(const transom_request *request, const char *name);

/*
 * Stores one trailer field in `*field`, as transom_request_header_at does.
 *
 * Errors: TRANSOM_OUT_OF_RANGE if there is no such field; name and value are then absent.
 */
transom_status transom_request_trailer_at(const transom_request *request,
                                          size_t index,
                                          transom_field *field);

/*
 * Stores the first `max` trailer fields in `out`, and returns the number of all, as
 * transom_request_headers does.
 */
size_t transom_request_trailers(const transom_request *request, transom_field *out, size_t max);

/*
 * Returns the part of the path that {name} in the pattern of the route matched,
 * percent-decoded: it may contain a NUL, and may not be UTF-8. Absent if the pattern has no
 * such name.
 */
transom_bytes transom_request_param(const transom_request *request, const char *name);

/* Returns the number of parameters in the pattern of the route. */
size_t transom_request_param_count(const transom_request *request);

/*
 * Stores the name of one parameter and its value (see transom_request_param) in `*param`.
 * `index` counts from 0 in the order of the pattern.
 *
 * Errors: TRANSOM_OUT_OF_RANGE if there is no such parameter; name and value are then absent.
 */
transom_status transom_request_param_at(const transom_request *request,
                                        size_t index,
                                        transom_field *param);

/*
 * Returns a value of the query: "1" for "x" in "/path?x=1&y". `index` counts from 0 among the
 * values with this name. Name and value are decoded: '+' is a space, %XX is a byte, and what is
 * malformed stays as it is. So the value may have any bytes, and may not be UTF-8. A name without
 * '=' has an empty value.
 *
 * Absent if there is no such value, and if there is no memory to decode the query:
 * transom_request_query_fields tells which. Each call looks through the query again: use that
 * function for names that are repeated often, and for names with a NUL.
 */
transom_bytes transom_request_query_value(const transom_request *request,
                                          const char *name,
                                          size_t index);

/*
 * Returns a value of the form that the body is, as transom_request_query_value does for the
 * query. Absent also if the body is no form: see transom_request_form_fields.
 */
transom_bytes transom_request_form_value(const transom_request *request,
                                         const char *name,
                                         size_t index);

/*
 * Stores the first `max` names and values of the query in `out`, in order and decoded as
 * transom_request_query_value says, and the number of all in `*count`. Call this with 0 to learn
 * the number. Without a query the number is 0.
 *
 * Errors: TRANSOM_NO_MEMORY. `*count` is then 0.
 */
transom_status transom_request_query_fields(const transom_request *request,
                                            transom_field *out,
                                            size_t max,
                                            size_t *count);

/*
 * As transom_request_query_fields, for the form that the body is: the body of a request whose
 * Content-Type is application/x-www-form-urlencoded, as browsers send it.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the Content-Type is another, or if the route streams, so
 * that the body is not in memory; TRANSOM_NO_MEMORY. `*count` is then 0.
 */
transom_status transom_request_form_fields(const transom_request *request,
                                           transom_field *out,
                                           size_t max,
                                           size_t *count);

/*
 * Returns the value of the first cookie with this name, whose case matters. It is as the client
 * sent it, without the quotes around it: cookies have no encoding of their own. Absent if there is
 * no such cookie. What is not "name=value" in a Cookie field is passed over.
 */
transom_bytes transom_request_cookie(const transom_request *request, const char *name);


/* ---- Cookies: setting and signing ---------------------------------------------------- */

/*
 * Makes signing keys of one key: at least 32 random bytes, which are copied. Stores them in `*out`.
 *
 * A signed value is the value, a dot, and the signature of "name=value" in 64 hexadecimal digits: the
 * same in each language. A client can read it, and send an old one again: put a time into the value if
 * that matters.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the key is shorter; `*out` is then NULL.
 */
transom_status transom_signing_keys_new(const void *key,
                                        size_t len,
                                        transom_signing_keys **out);

/*
 * Adds an old key, whose signatures are still accepted: to change the key while clients have cookies.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the key has less than 32 bytes.
 */
transom_status transom_signing_keys_add_old(transom_signing_keys *keys,
                                            const void *key,
                                            size_t len);

/* Frees signing keys. Does nothing with NULL, nor when they were freed before. */
void transom_signing_keys_free(transom_signing_keys *keys);

/*
 * Returns the value of a cookie that one of the keys has signed, without its signature. Absent if there
 * is no such cookie, or nobody who has a key has signed it.
 */
transom_bytes transom_request_signed_cookie(const transom_request *request,
                                            const char *name,
                                            const transom_signing_keys *keys);

/*
 * Writes the value of a field Set-Cookie to `buf` as snprintf does, and its length to `*len`: if that is
 * not less than `cap`, the text was cut. `attributes` is NULL or a list such as
 * "Max-Age=3600; Secure; SameSite=Strict": Max-Age in seconds, Path, Domain, Secure, HttpOnly, SameSite
 * and Partitioned. Without them, a cookie has "Path=/; HttpOnly; SameSite=Lax"; "Path=", "SameSite=" and
 * "HttpOnly=no" leave these out. "Delete" alone has the client forget the cookie. With `keys`, the value
 * is signed. Send the text as a field: see transom_responder_send.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if a browser would refuse the cookie, with a sentence in `*error`:
 * the name is no token, a character is not allowed, the name with the value is larger than 4,096 bytes,
 * or Secure is missing where "__Secure-", "__Host-", SameSite=None or Partitioned needs it.
 */
transom_status transom_format_set_cookie(const char *name,
                                         const char *value,
                                         const char *attributes,
                                         const transom_signing_keys *keys,
                                         char *buf,
                                         size_t cap,
                                         size_t *len,
                                         transom_error **error);


/* ---- Multipart forms: reading the parts of a request body ---------------------------- */

/*
 * Begins to read the body of a request as a multipart form (multipart/form-data), and stores the form
 * in `*out`. The form of a route that streams (transom_route_set_streaming) is read while it comes, in
 * an amount of memory that does not grow with it.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the Content-Type is another (answer with 415);
 * TRANSOM_BAD_BODY if it has no boundary (answer with 400). `*out` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_multipart_new(const transom_request *request,
                                     transom_multipart **out);

/*
 * Sets a limit on the parts that are not read yet. A form that exceeds one is
 * TRANSOM_BODY_TOO_LARGE. The limits and their defaults: "parts", the most fields and files (1,000);
 * "files", the most files (100); "head", the most bytes of the header section of a part (8 KiB);
 * "name", the most bytes of a name of a field or a file (1 KiB); "field", the most bytes of a field
 * (1 MiB); "fields", the most bytes of all fields together with their names (8 MiB); "file", the most
 * bytes of a file (off: the limit "body" holds).
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no such limit.
 */
transom_status transom_multipart_set_limit(transom_multipart *form,
                                           const char *name,
                                           uint64_t value);

/*
 * Waits for the next part, and stores what is known of it in `*part`; the name is absent after the last
 * part. What was not read of the part before is read and dropped. The time is that of
 * transom_request_read.
 *
 * Errors: as transom_request_read; TRANSOM_BAD_BODY if the form is malformed and
 * TRANSOM_BODY_TOO_LARGE if it exceeds a limit: transom_multipart_error says what is wrong.
 */
TRANSOM_MUST_USE
transom_status transom_multipart_next(transom_multipart *form,
                                      int64_t timeout_ms,
                                      transom_part *part);

/*
 * Reads the content of the part piece by piece: stores up to `cap` bytes in `buf`, and their number
 * in `*len`. 0 bytes are the end of the part. Times and errors are those of transom_multipart_next;
 * TRANSOM_INVALID_ARGUMENT if `cap` is 0.
 */
TRANSOM_MUST_USE
transom_status transom_multipart_read(transom_multipart *form,
                                      void *buf,
                                      size_t cap,
                                      int64_t timeout_ms,
                                      size_t *len);

/*
 * Writes the rest of the content of the part to a file, and stores its length in `*length`, unless
 * that is NULL. A file of that name is replaced. The name is given at the end, to a whole file: of an
 * upload that breaks off, nothing is left. Waits for the client as long as the limit "body_rate" lets
 * it.
 *
 * Errors: those of transom_multipart_next, and TRANSOM_IO if the file cannot be written.
 */
TRANSOM_MUST_USE
transom_status transom_multipart_save(transom_multipart *form,
                                      const char *path,
                                      uint64_t *length);

/*
 * Returns what was wrong with the form, as a sentence for the client or the log. Absent if nothing
 * was. Valid until the next call with this form.
 */
transom_bytes transom_multipart_error(const transom_multipart *form);

/* Frees a form. The rest of the body is not read. Does nothing with NULL. */
void transom_multipart_free(transom_multipart *form);

/*
 * Returns the address at which the connection came in, as text: the server's end of a TCP
 * connection ("127.0.0.1:8080") or the Unix socket ("unix:/run/app.sock"). A server that
 * listens on several addresses can tell by it where a client connected. The first call asks
 * the system. Absent once the connection has ended.
 */
transom_bytes transom_request_local_address(const transom_request *request);

/*
 * Returns the scheme of the request: "https" or "http". It is the one that a trusted proxy told
 * (see transom_server_trust_forwarded), or else that of the connection.
 */
transom_bytes transom_request_scheme(const transom_request *request);

/*
 * Returns the host, with a port if the client sent one. It is the one that a trusted proxy told, if
 * the server asks for it (see transom_server_trust_forwarded), the one in the request target, or
 * that of the header field Host. Absent if an HTTP/1.0 client named none.
 */
transom_bytes transom_request_host(const transom_request *request);

/*
 * Returns the other end of the connection as text, as in transom_request_peer: the proxy, if the
 * server is behind one that it trusts, and otherwise the client.
 */
transom_bytes transom_request_connection_peer(const transom_request *request);

/*
 * Stores the process at the other end of a Unix socket, as the kernel saw it when the client
 * connected: its number in `*pid`, and its effective user and group in `*uid` and `*gid`.
 * Any of the pointers may be NULL. Returns true if they are known. Each call asks the system.
 *
 * Otherwise returns false and stores 0, UINT32_MAX and UINT32_MAX, which no process has: the
 * client came by TCP, the connection has ended, or the system is not Linux. `*pid` is also 0
 * for a process that has no number here, as a client in another container may not.
 */
bool transom_request_peer_credentials(const transom_request *request,
                                      uint32_t *pid,
                                      uint32_t *uid,
                                      uint32_t *gid);

/*
 * Stores in `*out` what the TLS handshake of the request's connection settled, and returns true.
 * Returns false and stores nothing if the connection has no TLS, and if `out->size` is not a size
 * of the structure. TLS between a client and a proxy is not seen here: see
 * transom_request_scheme.
 */
bool transom_request_tls(const transom_request *request, transom_tls_info *out);

/*
 * Returns a certificate of the client, in DER: its own is number 0, and those that it sent with
 * it follow, in its order. They were verified (see transom_tls_add_client_authorities_file).
 * Absent if there is no such certificate. Valid as long as the request.
 */
transom_bytes transom_request_tls_peer_certificate(const transom_request *request, size_t index);

/*
 * Gives a request a value, such as the user whom a before function has found. The handler
 * and the other functions get it with transom_request_value. `free_fn` frees the value when
 * the request has been answered. A second call replaces the value. Only a before function has
 * a request that is not const.
 */
transom_status transom_request_set_value(transom_request *request,
                                         void *value,
                                         transom_free_fn free_fn);

/*
 * Returns the value that a before function gave a request, or NULL if none did. It belongs to
 * the request. An after function gets the value that was there when the before function of
 * the same registration had returned.
 */
void *transom_request_value(const transom_request *request);


/* ---- Responder: sending the response, once, on any thread ---------------------------- */

/*
 * Writes the address at which the connection of a request came in to `buf`, such as "127.0.0.1:8080"
 * or "unix:/run/app.sock". Each call asks the system.
 *
 * Works as snprintf: at most `cap` bytes are written, the last of which is a NUL, and the length of
 * the whole text without the NUL is returned. Returns 0 if there is no address, for a
 * transom_client, and once the response was sent or the connection has ended.
 */
size_t transom_responder_local_address(const transom_responder *responder, char *buf, size_t cap);

/*
 * Sends `text`, which is NUL-terminated UTF-8, as the response. Its content type is
 * "text/plain; charset=utf-8".
 *
 * Errors: as transom_responder_send; TRANSOM_NOT_UTF8, after which the responder can still
 * be used.
 */
transom_status transom_responder_send_text(transom_responder *responder,
                                           uint16_t status_code,
                                           const char *text);

/*
 * Sends the response: a status code from 200 to 599, header fields, and a body of `len`
 * bytes. Everything is copied. `len` may be TRANSOM_NUL_TERMINATED. Each header field is
 * sent as a line of its own, so "set-cookie" may be given twice.
 *
 * The server adds Date, unless you give it, and the fields that frame the body. You may set
 * some of these yourself:
 *
 *     Content-Length     the length of the body; the connection is closed if
 *                        the body is shorter, and a longer body is cut off,
 *                        with a message in the log; in the response to HEAD,
 *                        the length that the response to GET would have
 *     Connection: close
 *     Upgrade            with status 426
 *
 * With status 304, Content-Encoding, Content-Language and Content-Range are left out.
 *
 * After these errors, the responder can still be used: TRANSOM_BAD_HEADER if a field is
 * malformed or only the server may set it (Transfer-Encoding, Keep-Alive, TE, Trailer,
 * Proxy-Connection, other options of Connection, a Content-Length that is not a number or
 * comes with status 204), and the message says which; TRANSOM_BAD_STATUS_CODE;
 * TRANSOM_NULL_ARGUMENT; TRANSOM_NO_MEMORY.
 *
 * After any other result, the responder is used up: TRANSOM_GONE if nobody waits for the
 * response any more (the timeout "handler" has passed, the server was stopped, or the server
 * has found the connection broken); TRANSOM_ALREADY_ANSWERED if it was used up before;
 * TRANSOM_OK if the server has taken the response and will send it. TRANSOM_OK does not mean
 * that the response arrives: the client may leave, or have left without any sign.
 */
transom_status transom_responder_send(transom_responder *responder,
                                      uint16_t status_code,
                                      const transom_field *fields,
                                      size_t field_count,
                                      const void *body,
                                      size_t len,
                                      transom_error **error);

/*
 * Sends a body of `len` bytes with this content type, such as "image/png", as the response. The
 * body is copied. `len` may be TRANSOM_NUL_TERMINATED.
 *
 * Errors: as transom_responder_send; TRANSOM_NOT_UTF8 if the content type is not, after which the
 * responder can still be used.
 */
transom_status transom_responder_send_bytes(transom_responder *responder,
                                            uint16_t status_code,
                                            const char *content_type,
                                            const void *body,
                                            size_t len,
                                            transom_error **error);

/*
 * Like transom_responder_send, but does not copy the body. The body must not change until
 * the library calls `free_fn` with `user_data`. That happens exactly once, on any thread:
 * when the body was sent or cannot be sent, and after every error.
 */
transom_status transom_responder_send_owned(transom_responder *responder,
                                            uint16_t status_code,
                                            const transom_field *fields,
                                            size_t field_count,
                                            const void *body,
                                            size_t len,
                                            void *user_data,
                                            transom_free_fn free_fn,
                                            transom_error **error);

/*
 * Starts a response whose body you write piece by piece: sends the status and the header
 * fields, and stores a writer for the body in `*out`. The writer belongs to you. If one of
 * the fields is Content-Length, the body must have that length. Without it, the length need
 * not be known in advance.
 *
 * If trailers will follow (transom_writer_finish_with), the field Trailer may announce them.
 *
 * The response to HEAD, and one with status 204, 205 or 304, is sent without a body. The
 * writer then accepts data for 30 seconds and drops it, without an error.
 *
 * Errors: as transom_responder_send; `*out` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_responder_start(transom_responder *responder,
                                       uint16_t status_code,
                                       const transom_field *fields,
                                       size_t field_count,
                                       transom_writer **out,
                                       transom_error **error);

/*
 * Like transom_responder_start, with the first `len` bytes of the body, which are copied. They leave with the
 * status and the header fields in one write; after transom_responder_start, these may leave alone. `len` may be
 * TRANSOM_NUL_TERMINATED. If the bytes go beyond a Content-Length among the fields, the response is cut off, and
 * later calls with the writer may return TRANSOM_BODY_TOO_LONG.
 *
 * Errors: as transom_responder_start; TRANSOM_NO_MEMORY, after which the responder can still be used.
 */
TRANSOM_MUST_USE
transom_status transom_responder_start_with(transom_responder *responder,
                                            uint16_t status_code,
                                            const transom_field *fields,
                                            size_t field_count,
                                            const void *data,
                                            size_t len,
                                            transom_writer **out,
                                            transom_error **error);

/*
 * Like transom_responder_start, for a body of `length` bytes in all, which is sent as the
 * Content-Length. So the client knows when it has the whole, and can show how far it is.
 *
 * Errors: as transom_responder_start; TRANSOM_BAD_HEADER also if one of the fields is
 * Content-Length.
 */
TRANSOM_MUST_USE
transom_status transom_responder_start_sized(transom_responder *responder,
                                             uint16_t status_code,
                                             const transom_field *fields,
                                             size_t field_count,
                                             uint64_t length,
                                             transom_writer **out,
                                             transom_error **error);

/*
 * Sends "103 Early Hints" with these fields before the response: links to what the client can
 * fetch meanwhile, such as {"link", "</style.css>; rel=preload; as=style"} (RFC 8297). May be
 * called several times. A client that speaks HTTP/1.0 gets none. The responder must still be used
 * or freed.
 *
 * In the models "threads" and "sequential", hints that a handler sends go out when it waits in a
 * function of the library or returns.
 *
 * Errors: TRANSOM_BAD_HEADER if a field is malformed or only the server may set it; TRANSOM_GONE
 * if nobody waits for the response any more; TRANSOM_ALREADY_ANSWERED if the responder is used up.
 */
transom_status transom_responder_early_hints(transom_responder *responder,
                                             const transom_field *fields,
                                             size_t field_count,
                                             transom_error **error);

/*
 * Refuses the request for a transom_reject, such as TRANSOM_REJECT_OVERLOADED: sends the response that
 * the server itself would send for it, with Retry-After for a 503. The refusal counts in
 * transom_server_refused and in metrics, and transom_server_set_own_body and
 * transom_server_own_answers word the response.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if `reject` is no reason, after which the responder can still be
 * used; otherwise as transom_responder_send.
 */
transom_status transom_responder_refuse(transom_responder *responder,
                                        int32_t reject);

/*
 * Frees a responder. If it was not used, the client gets a 500 and the log a message. Does
 * nothing if it is used up or NULL.
 */
void transom_responder_free(transom_responder *responder);

/*
 * Returns true if the client has left or has closed its sending side, or if nobody waits for
 * the response for another reason. Also returns true for NULL and for a responder that is
 * used up.
 *
 * Call this to end long work early. Do not call it to decide whether to send the response: a
 * client that has only closed its sending side still gets it.
 */
bool transom_responder_is_gone(const transom_responder *responder);

/*
 * Calls `function` once if the client leaves before it has got the whole response. If the
 * client has left already, the call happens before this function returns. A client counts as
 * gone:
 *
 * - Before the response is sent: when it closes its sending side, or the connection breaks.
 *   A client that closes both sides looks like one that only closes its sending side and
 *   goes on reading, until something is sent. So send the response all the same.
 * - After transom_responder_start, until the writer has ended and everything is sent: in the
 *   same cases. transom_writer_on_gone tells whether such a client still reads.
 * - When the server is stopped: if the request is cut off at the deadline of the stop, and
 *   not when the stop begins.
 *
 * It is not called when the timeout "handler" passes: transom_responder_is_gone and
 * transom_events_watch_request tell that. `function` runs on a thread that serves other
 * connections and must not block. The responder must still be used or freed.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the responder is used up; `function` is not called.
 */
transom_status transom_responder_on_gone(transom_responder *responder,
                                         transom_callback_fn function,
                                         void *user_data,
                                         transom_free_fn free_fn);

/*
 * Like transom_responder_send, but the body is a part of a regular file: `length` bytes from
 * `offset` on, or with TRANSOM_TO_END all that follow `offset`. The kernel sends the bytes
 * from its cache, without a copy. (A file of /proc or /sys does not tell its size: with
 * offset 0 and TRANSOM_TO_END, up to 4 MiB of it are sent.)
 *
 * The descriptor `fd` belongs to the library from this call on, also after an error. It is
 * closed when the file was sent or cannot be sent. The file position is neither used nor
 * changed. If the file is found to be shorter while it is sent, the connection is closed
 * before the announced length. On Windows `fd` is a HANDLE, whose file position is changed.
 *
 * Errors: as transom_responder_send; TRANSOM_INVALID_ARGUMENT if `fd` is not an open
 * descriptor of a regular file or the file ends before the part does; TRANSOM_IO. After the
 * last two the responder can still be used.
 */
transom_status transom_responder_send_file(transom_responder *responder,
                                           uint16_t status_code,
                                           const transom_field *fields,
                                           size_t field_count,
                                           transom_descriptor fd,
                                           uint64_t offset,
                                           uint64_t length,
                                           transom_error **error);


/* ---- Response: reading and changing it, in a callback -------------------------------- */

/* Returns the status code of a response. */
uint16_t transom_response_status_code(const transom_response *response);

/*
 * Sets the status code of a response, from 200 to 599.
 *
 * Errors: TRANSOM_BAD_STATUS_CODE.
 */
transom_status transom_response_set_status_code(transom_response *response, uint16_t status_code);

/*
 * Returns the value of the first header field with this name, whose case does not matter.
 * Absent if there is no such field. The fields that the server adds when it sends the
 * response, such as Date and Content-Length, are not there.
 */
transom_bytes transom_response_header(const transom_response *response, const char *name);

/* Returns the number of header fields. A name that is repeated counts each time. */
size_t transom_response_header_count(const transom_response *response);

/*
 * Stores one header field in `*field`. `index` counts from 0.
 *
 * Errors: TRANSOM_OUT_OF_RANGE if there is no such field; name and value are then absent.
 */
transom_status transom_response_header_at(const transom_response *response,
                                          size_t index,
                                          transom_field *field);

/*
 * Sets a header field in place of all others of that name. `len` may be
 * TRANSOM_NUL_TERMINATED.
 *
 * Errors: TRANSOM_BAD_HEADER if the field is malformed or only the server may set it (see
 * transom_responder_send). The response is then unchanged.
 */
transom_status transom_response_set_header(transom_response *response,
                                           const char *name,
                                           const void *value,
                                           size_t len,
                                           transom_error **error);

/*
 * Adds a header field and keeps the others of that name. Otherwise as
 * transom_response_set_header.
 */
transom_status transom_response_add_header(transom_response *response,
                                           const char *name,
                                           const void *value,
                                           size_t len,
                                           transom_error **error);

/* Removes all header fields with this name. Does nothing if there are none. */
transom_status transom_response_remove_header(transom_response *response, const char *name);

/*
 * Returns the body of a response. Absent if the body is not in memory: if it is a file, or
 * written piece by piece.
 */
transom_bytes transom_response_body(const transom_response *response);

/*
 * Sets the body of a response to `len` bytes, which are copied. `len` may be
 * TRANSOM_NUL_TERMINATED. The body that was there is dropped: a file is not sent, and a
 * writer gets TRANSOM_GONE. A Content-Length that the handler gave is removed; the other
 * fields stay, so set "content-type" too.
 *
 * Errors: TRANSOM_NO_MEMORY.
 */
transom_status transom_response_set_body(transom_response *response, const void *body, size_t len);


/* ---- Writer: a body that is written piece by piece ----------------------------------- */

/*
 * Writes `len` bytes to the body, which are copied or sent at once. `len` may be TRANSOM_NUL_TERMINATED. If
 * the client reads more slowly than you write, this waits for room for at most `timeout_ms`
 * milliseconds. 0 does not wait. TRANSOM_FOREVER is no limit: if the client reads too slowly
 * for the timeout "write" of the server, the wait ends with TRANSOM_GONE. After an error,
 * none of the bytes are sent.
 *
 * Errors after which you may write again: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and
 * TRANSOM_TIMEOUT, when there is no room (transom_writer_on_writable tells when there is);
 * TRANSOM_NO_MEMORY; TRANSOM_BODY_TOO_LONG if the bytes go beyond the Content-Length of the
 * response.
 *
 * Other errors: TRANSOM_GONE if nobody reads the body any more (free the writer);
 * TRANSOM_WOULD_DEADLOCK if this would have to wait in an inline handler or in a callback,
 * because the thread that makes room is the one that would wait; TRANSOM_ALREADY_ANSWERED if
 * the writer has ended.
 *
 * In the models "threads" and "sequential", a handler may write piece by piece on its own
 * thread: the thread goes on to serve its connection while it waits here, and sends each piece
 * before this returns.
 */
TRANSOM_MUST_USE
transom_status transom_writer_write(transom_writer *writer,
                                    const void *data,
                                    size_t len,
                                    int64_t timeout_ms);

/*
 * Writes to the body as transom_writer_write does with a timeout of 0, and leaves it to
 * transom_writer_flush to have it sent. Use this for several pieces, or for many bodies at once: the threads
 * of the server are then woken once. Until the flush, the bytes may be sent at any time. If there is no room,
 * those before are sent.
 *
 * Errors: as transom_writer_write with a timeout of 0.
 */
TRANSOM_MUST_USE
transom_status transom_writer_feed(transom_writer *writer,
                                   const void *data,
                                   size_t len);

/*
 * Has the bytes sent that transom_writer_feed has written to `count` bodies, and wakes each thread of the
 * server at most once. It does not wait. A writer that has ended, and NULL, have nothing to send.
 *
 * Errors: TRANSOM_NULL_ARGUMENT if `writers` is NULL and `count` is not 0.
 */
transom_status transom_writer_flush(transom_writer *const *writers,
                                    size_t count);

/*
 * Ends the body after its last byte was written, and frees the writer, whatever it returns.
 * If another thread is in transom_writer_write, the body ends after its bytes, and this
 * returns TRANSOM_OK.
 *
 * TRANSOM_OK means that the library has the whole body to send, not that the client has it.
 *
 * Errors: TRANSOM_BODY_TOO_SHORT if less was written than the Content-Length of the response
 * says: the connection is then closed, so that the client notices; TRANSOM_GONE if the
 * client left or the response was cut off before everything was sent;
 * TRANSOM_ALREADY_ANSWERED if the writer has ended.
 */
transom_status transom_writer_finish(transom_writer *writer);

/*
 * Like transom_writer_finish, but sends trailer fields after the body (RFC 9110 6.5), such as a
 * checksum of what was written. They are sent only to clients that speak HTTP/1.1, and only after
 * a body of unknown length. Announce them with the field "trailer" of the response:
 * {"trailer", "x-sum"}. Fields that must not be trailers are left out, with a message in the log:
 * those that frame a message or tell what to do with it, such as Content-Type and Set-Cookie.
 *
 * Errors: as transom_writer_finish. After TRANSOM_BAD_HEADER, for a malformed field, and
 * TRANSOM_NULL_ARGUMENT, the writer can still be used.
 */
transom_status transom_writer_finish_with(transom_writer *writer,
                                          const transom_field *fields,
                                          size_t field_count,
                                          transom_error **error);

/*
 * Frees a writer. If the body was not finished, the response is cut off, so that the client
 * does not take a part for the whole. If another thread waits in transom_writer_write, it
 * goes on waiting, and the response is cut off after its bytes. Does nothing with NULL.
 */
void transom_writer_free(transom_writer *writer);


/* ---- Pulling: requests in batches, on threads of the host ---------------------------- */

/*
 * Fetches one request from the queue of the pull routes: stores the request in `*request`, its
 * responder in `*responder`, and the number of its route in `*route_id`, which may be NULL. Waits
 * until a request is queued, at most `timeout_ms` milliseconds (0: does not wait,
 * TRANSOM_FOREVER: no limit). Several threads may call this at the same time.
 *
 * The request and the responder are those that a handler would get: the responder belongs to
 * you, and the request is valid until it is answered. Call this in your own event loop when
 * the descriptor of transom_server_event_fd is readable, until it returns TRANSOM_TIMEOUT.
 *
 * Errors: TRANSOM_TIMEOUT; TRANSOM_STOPPED if the server has stopped;
 * TRANSOM_INVALID_ARGUMENT if the time is negative. Both are then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_server_next(transom_server *server,
                                   const transom_request **request,
                                   transom_responder **responder,
                                   uint32_t *route_id,
                                   int64_t timeout_ms);

/*
 * Fetches requests from the queue of the pull routes. Waits until a request is queued, at
 * most `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). Then fills
 * `buf`, which has room for `cap` bytes, with the records of up to `max` requests that are
 * queued at that time. Stores the number of records in `*count` and their bytes in `*len`.
 * Several threads may call this at the same time.
 *
 * Errors: TRANSOM_TIMEOUT; TRANSOM_STOPPED if the server has stopped;
 * TRANSOM_BUFFER_TOO_SMALL if the first record does not fit: `*len` is then the room that it
 * needs, and the request stays queued; TRANSOM_INVALID_ARGUMENT if `max` is 0 or the time is
 * negative. `*count` is then 0.
 *
 * A record starts with a transom_request_record, in the byte order of the machine.
 *
 * These parts follow it without padding between them: the method; the target, the path and
 * the query, percent-encoded and ASCII; the header fields, as "name: value" lines that each
 * end in CR LF; the peer; `param_count` times a transom_param_record, the name and the value
 * of a parameter; the body; with TRANSOM_TLS, a transom_tls_record. Padding makes the length a multiple of 8, so in a buffer that is
 * aligned to 8 each record is. A request of 2 GiB or more does not fit a record and gets a
 * 413.
 */
TRANSOM_MUST_USE
transom_status transom_server_next_batch(transom_server *server,
                                         void *buf,
                                         size_t cap,
                                         uint32_t max,
                                         int64_t timeout_ms,
                                         uint32_t *count,
                                         size_t *len);

/*
 * Answers the first request in the queue with 503 if its record needs more than `cap` bytes.
 * Otherwise does nothing. Call this if there is no memory for the buffer that
 * transom_server_next_batch asks for.
 */
transom_status transom_server_refuse_larger(transom_server *server, size_t cap);

/*
 * Sends the responses to requests that transom_server_next_batch returned, from the `len`
 * bytes of records in `buf`. Stores the number of records that were processed in `*done`,
 * and the outcome of each in `results`, in order, up to `result_count` of them.
 *
 * An outcome is TRANSOM_OK, TRANSOM_ALREADY_ANSWERED or TRANSOM_GONE; or TRANSOM_BAD_HEADER,
 * TRANSOM_BAD_STATUS_CODE or TRANSOM_NO_MEMORY, in which case the client gets a 500.
 *
 * Errors: TRANSOM_MALFORMED if a record has another layout; the records before it were
 * processed. TRANSOM_OK says nothing about the outcomes.
 *
 * A record starts with a transom_response_record, in the byte order of the machine.
 *
 * These parts follow it without padding between them: the header fields, as "name: value"
 * lines that each end in CR LF (transom_responder_send tells which are allowed); the
 * body. Padding makes the length a multiple of 8. A response that does not fit in 4 GiB can
 * be sent with transom_token_responder.
 */
TRANSOM_MUST_USE
transom_status transom_server_respond_batch(transom_server *server,
                                            const void *buf,
                                            size_t len,
                                            int32_t *results,
                                            uint32_t result_count,
                                            uint32_t *done);

/*
 * Returns a descriptor for poll(2) and similar calls. It is readable while requests are
 * queued, and from the time when the server has stopped. Do not read it:
 * transom_server_next and transom_server_next_batch reset it. With EPOLLET, call either until it returns
 * TRANSOM_TIMEOUT, because requests that stay in the queue make no new edge. The descriptor
 * belongs to the server and is closed with it. Returns -1 if it cannot be opened.
 *
 * On Windows it is the HANDLE of an event, for WaitForMultipleObjects and similar calls: it is
 * set in place of being readable.
 */
transom_descriptor transom_server_event_fd(transom_server *server);

/*
 * Reads the body of a pulled request whose route streams: as transom_request_read, by the token
 * of the request.
 *
 * Errors: as transom_request_read; TRANSOM_ALREADY_ANSWERED if the request is answered whole;
 * TRANSOM_INVALID_ARGUMENT also if its route does not stream.
 */
TRANSOM_MUST_USE
transom_status transom_token_read(uint64_t token,
                                  void *buf,
                                  size_t cap,
                                  int64_t timeout_ms,
                                  size_t *len);

/*
 * Returns the responder of a pulled request, with which the host can stream the response, be
 * told when the client leaves, or free the request. The responder and the token identify the
 * same request: it can be answered once, through either. Returns NULL if `token` is 0.
 */
transom_responder *transom_token_responder(uint64_t token);


/* ---- Events: reports on threads of the host ------------------------------------------ */

/*
 * Creates a queue of events that watches nothing yet. Free it with transom_events_free.
 * Returns NULL only if the library has a defect.
 */
transom_events *transom_events_new(void);

/*
 * Frees a queue of events and closes its descriptor. No other thread may use the queue: call
 * transom_events_close first to end the threads that wait in transom_events_next. The
 * requests and writers that it watches are not affected. Does nothing with NULL and in a
 * forked child.
 */
void transom_events_free(transom_events *events);

/*
 * Closes a queue of events: each call of transom_events_next returns TRANSOM_STOPPED from
 * now on, those that wait included, and the descriptor is readable.
 */
transom_status transom_events_close(transom_events *events);

/*
 * Takes events from the queue. Waits until there is an event, at most `timeout_ms`
 * milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). Then writes the events that
 * are there to `out`, at most `max`, in the order in which they happened, and stores their
 * number in `*count`. Several threads may call this at the same time; each event goes to one
 * of them.
 *
 * An event may be out of date when you read it, for example because another thread has
 * answered the request since. To act on such an event is harmless.
 *
 * Errors: TRANSOM_TIMEOUT; TRANSOM_STOPPED after transom_events_close;
 * TRANSOM_INVALID_ARGUMENT if `max` is 0 or the time is negative. `*count` is then 0.
 */
TRANSOM_MUST_USE
transom_status transom_events_next(transom_events *events,
                                   transom_event *out,
                                   uint32_t max,
                                   int64_t timeout_ms,
                                   uint32_t *count);

/*
 * Returns a descriptor for poll(2) and similar calls. It is readable while events wait. Do
 * not read it: transom_events_next resets it. With EPOLLET, call that function until it
 * returns TRANSOM_TIMEOUT. The descriptor belongs to the queue and is closed with it.
 * Returns -1 if it cannot be opened. On Windows it is the HANDLE of an event, as that of
 * transom_server_event_fd.
 */
transom_descriptor transom_events_fd(transom_events *events);

/*
 * Returns true if nobody reads the body any more: the client has left, or the response was
 * cut off. Bytes that are written then are dropped (TRANSOM_GONE), and the writer should be
 * freed. Also returns true for NULL and for a writer that has ended.
 *
 * The server notices within a second that a client has left, even if nothing is written. A
 * client that only closes its sending side and goes on reading has not left. This also
 * returns true for a body that is not sent (see transom_responder_start), although the
 * writer accepts data.
 */
bool transom_writer_is_gone(const transom_writer *writer);

/*
 * Calls `function` once, when the writer has room again after TRANSOM_WOULD_BLOCK, or when
 * nobody reads the body any more. If that is so already, the call happens before this
 * function returns. There is room while less than 64 KiB wait to be sent, or up to 256 KiB in a
 * row while the client reads as fast as you write; a write of any size is then taken whole.
 *
 * `function` runs on a thread that serves connections and must not block. It is not called
 * if the writer ends first.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended; `function` is not called.
 */
transom_status transom_writer_on_writable(transom_writer *writer,
                                          transom_callback_fn function,
                                          void *user_data,
                                          transom_free_fn free_fn);

/*
 * Calls `function` once, when nobody reads the body any more. If that is so already, the
 * call happens before this function returns. A stream that waits for news needs this to
 * learn that its client has left, and to free the writer.
 *
 * `function` runs on a thread that serves connections and must not block. It is not called
 * if the writer ends first.
 *
 * Errors: as transom_writer_on_writable.
 */
transom_status transom_writer_on_gone(transom_writer *writer,
                                      transom_callback_fn function,
                                      void *user_data,
                                      transom_free_fn free_fn);

/*
 * Reports to `events` what happens to a request, pulled or not: TRANSOM_EVENT_GONE when its
 * client leaves or closes its sending side, TRANSOM_EVENT_OVER when nobody waits for the
 * response any more. Each comes at once if it has happened already. `token` is the token of
 * a pulled request, or a responder as a number.
 *
 * No event comes once the request is answered. Watch the writer of a response that is still
 * being sent. Only the first call for a request has an effect.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the request is answered; no event comes.
 */
transom_status transom_events_watch_request(transom_events *events, uint64_t token);

/*
 * Reports TRANSOM_EVENT_WRITER_GONE to `events` once, when nobody reads the body of the
 * writer any more (see transom_writer_is_gone), or at once if that is so already.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended.
 */
transom_status transom_events_watch_writer(transom_events *events, transom_writer *writer);

/*
 * Reports TRANSOM_EVENT_WRITABLE to `events` once, when a writer has room again after
 * TRANSOM_WOULD_BLOCK or nobody reads its body any more, or at once if that is so already.
 * Call this again after the event to be told again; a second call before the event adds
 * nothing.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended.
 */
transom_status transom_events_await_room(transom_events *events, transom_writer *writer);

/*
 * Calls `function` once, when there is more of the body of a request to read, or its end. If
 * that is so already, the call happens before this function returns. The request must be one
 * whose route streams (transom_route_set_streaming).
 *
 * `function` runs on a thread that serves connections and must not block; it may read with a
 * timeout of 0. It is not called if the request is no longer valid.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the route does not stream; `function` is not called.
 */
transom_status transom_request_on_readable(const transom_request *request,
                                           transom_callback_fn function,
                                           void *user_data,
                                           transom_free_fn free_fn);

/*
 * Reports TRANSOM_EVENT_READABLE to `events` once, when there is more of the body of a request to
 * read, or its end; at once if that is so already. Call this again after the event to be told
 * again. `token` is the token of a pulled request, or a responder as a number; its route must
 * stream (transom_route_set_streaming).
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the request is answered; TRANSOM_INVALID_ARGUMENT if the
 * route does not stream.
 */
transom_status transom_events_await_body(transom_events *events, uint64_t token);

/*
 * Returns true once the server of the request was told to stop. A handler that works long, or
 * sends much, asks this to end before the deadline of the stop. Costs no lock. Returns false for
 * NULL.
 */
bool transom_request_is_stopping(const transom_request *request);

/*
 * Calls `function` once, when the server begins to stop. If the stop has begun already, the call
 * happens before this function returns. The request can then be answered before the deadline of
 * the stop, at which it would be cut off.
 *
 * `function` runs on the thread that stops the server, such as the one that calls
 * transom_server_stop, and must not block. It is not called once the responder is used up.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the responder is used up; `function` is not called.
 */
transom_status transom_responder_on_stopping(transom_responder *responder,
                                             transom_callback_fn function,
                                             void *user_data,
                                             transom_free_fn free_fn);

/*
 * Returns true once the server that sends the body was told to stop: finish the body before the
 * deadline of the stop. Also returns true for NULL and for a writer that has ended.
 */
bool transom_writer_is_stopping(const transom_writer *writer);

/*
 * Calls `function` once, when the server begins to stop; otherwise as
 * transom_responder_on_stopping. A stream that would not end by itself sends its last event then,
 * and finishes the body: a client sees that it is complete. Without this the stream is cut off at
 * the deadline of the stop.
 *
 * `function` is not called if the writer ends first. It may finish or free the writer.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended; `function` is not called.
 */
transom_status transom_writer_on_stopping(transom_writer *writer,
                                          transom_callback_fn function,
                                          void *user_data,
                                          transom_free_fn free_fn);

/*
 * Reports TRANSOM_EVENT_STOPPING to `events` once, when the server of a request begins to stop, or
 * at once if that is so already. `token` is the token of a pulled request, or a responder as a
 * number. No event comes once the request is answered.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the request is answered.
 */
transom_status transom_events_watch_stopping(transom_events *events, uint64_t token);

/*
 * Reports TRANSOM_EVENT_WRITER_STOPPING to `events` once, when the server that sends the body of
 * the writer begins to stop, or at once if that is so already.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended.
 */
transom_status transom_events_watch_writer_stopping(transom_events *events, transom_writer *writer);


/* ---- Upgraded: a connection that has left HTTP --------------------------------------- */

/*
 * Answers with "101 Switching Protocols" and these fields, and takes the connection out of HTTP
 * (RFC 9110 7.8). From then on it carries the bytes of `protocol`, such as "websocket". Stores the
 * connection in `*out`. What is written before the 101 is out is sent after it. The request is not
 * valid any more.
 *
 * The request must name the protocol in its field Upgrade, and must be read to its end. Otherwise
 * the client gets a 500, the log says why, and the connection is gone: TRANSOM_GONE. So look at
 * transom_request_header(request, "upgrade") first.
 *
 * Errors: as transom_responder_send; TRANSOM_NOT_UTF8, after which the responder can still be used.
 * `*out` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_responder_upgrade(transom_responder *responder,
                                         const char *protocol,
                                         const transom_field *fields,
                                         size_t field_count,
                                         transom_upgraded **out,
                                         transom_error **error);

/*
 * Reads what the client has sent: stores up to `cap` bytes in `buf`, and their number in `*len`. 0
 * bytes are the end: the client has closed its sending side, and may still read. Waits until there
 * is something, at most `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). At
 * most 80 KiB wait to be read; then the client has to wait.
 *
 * Errors: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and TRANSOM_TIMEOUT, after which you may read
 * again; TRANSOM_GONE if the connection is broken, was cut at the deadline of a stop, or was not
 * upgraded; TRANSOM_WOULD_DEADLOCK if this would have to wait on a thread that serves the
 * connection; TRANSOM_INVALID_ARGUMENT if `cap` is 0 or the time is negative;
 * TRANSOM_ALREADY_ANSWERED if the connection was freed. `*len` is then 0.
 */
TRANSOM_MUST_USE
transom_status transom_upgraded_read(transom_upgraded *upgraded,
                                     void *buf,
                                     size_t cap,
                                     int64_t timeout_ms,
                                     size_t *len);

/*
 * Writes `len` bytes to the client, which are copied, as transom_writer_write writes to a body: all
 * or none of them are taken. `len` may be TRANSOM_NUL_TERMINATED.
 *
 * Errors: as transom_writer_write; TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
TRANSOM_MUST_USE
transom_status transom_upgraded_write(transom_upgraded *upgraded,
                                      const void *data,
                                      size_t len,
                                      int64_t timeout_ms);

/*
 * Calls `function` once, when there is something to read, or the end, or the connection is broken.
 * If that is so already, the call happens before this function returns.
 *
 * `function` runs on a thread that serves connections and must not block; it may read and write
 * with a timeout of 0, and free the connection. It is not called if the connection is freed first.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed; `function` is not called.
 */
transom_status transom_upgraded_on_readable(transom_upgraded *upgraded,
                                            transom_callback_fn function,
                                            void *user_data,
                                            transom_free_fn free_fn);

/*
 * Calls `function` once, when there is room again after TRANSOM_WOULD_BLOCK, or the connection is
 * broken; otherwise as transom_upgraded_on_readable.
 */
transom_status transom_upgraded_on_writable(transom_upgraded *upgraded,
                                            transom_callback_fn function,
                                            void *user_data,
                                            transom_free_fn free_fn);

/*
 * Returns true once the server was told to stop: end the protocol in order before the deadline of
 * the stop. Also returns true for NULL and for a connection that was freed.
 */
bool transom_upgraded_is_stopping(const transom_upgraded *upgraded);

/*
 * Calls `function` once, when the server begins to stop; otherwise as
 * transom_responder_on_stopping. It is not called if the connection is freed first.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed; `function` is not called.
 */
transom_status transom_upgraded_on_stopping(transom_upgraded *upgraded,
                                            transom_callback_fn function,
                                            void *user_data,
                                            transom_free_fn free_fn);

/*
 * Frees a connection and closes it, after what was written is sent. If another thread waits in
 * transom_upgraded_read or transom_upgraded_write, it goes on waiting, and the connection is closed
 * after that. Does nothing with NULL.
 */
void transom_upgraded_free(transom_upgraded *upgraded);

/*
 * Reports TRANSOM_EVENT_UPGRADED_READABLE to `events` once, when there is something to read, or the
 * end, or the connection is broken; at once if that is so already. Call this again after the event
 * to be told again.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
transom_status transom_events_await_upgraded_readable(transom_events *events,
                                                      transom_upgraded *upgraded);

/*
 * Reports TRANSOM_EVENT_UPGRADED_WRITABLE to `events` once, when there is room again after
 * TRANSOM_WOULD_BLOCK or the connection is broken, or at once if that is so already. Call this
 * again after the event to be told again.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
transom_status transom_events_await_upgraded_writable(transom_events *events,
                                                      transom_upgraded *upgraded);

/*
 * Reports TRANSOM_EVENT_UPGRADED_STOPPING to `events` once, when the server of the connection
 * begins to stop, or at once if that is so already.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
transom_status transom_events_watch_upgraded_stopping(transom_events *events,
                                                      transom_upgraded *upgraded);


/* ---- WebSocket: connections that send and receive messages --------------------------- */

/*
 * Creates the default settings. Free them with transom_websocket_upgrade_free. Returns NULL if there
 * is no room for another object, and in a fork of a process that has used such settings.
 */
transom_websocket_upgrade *transom_websocket_upgrade_new(void);

/* Frees settings. Connections keep theirs. Does nothing with NULL, nor when they were freed before. */
void transom_websocket_upgrade_free(transom_websocket_upgrade *upgrade);

/*
 * Sets a transom_websocket_setting, for handshakes that come after this call.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if there is no such setting, or the value is out of its range: a
 * limit or a time is at least 1, TRANSOM_WEBSOCKET_COMPRESS_FROM and TRANSOM_WEBSOCKET_MESSAGE_RATE at
 * least 0, a switch 0 or 1.
 */
transom_status transom_websocket_upgrade_set(transom_websocket_upgrade *upgrade,
                                             int32_t setting,
                                             int64_t value);

/*
 * Adds a subprotocol that the server speaks (RFC 6455 1.9), such as "chat.v2". The first that the
 * client lists is chosen: transom_websocket_subprotocol.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if the name is no token (RFC 9110 5.6.2).
 */
transom_status transom_websocket_upgrade_add_subprotocol(transom_websocket_upgrade *upgrade,
                                                         const char *name);

/*
 * Adds an origin whose pages may connect, such as "https://example.com", beside pages of the host
 * that the request names. By default only those may: another page that a browser shows would connect
 * with the cookies of its user (RFC 6455 10.2). A page that may not gets a 403. Clients that are no
 * browsers send no Origin, and may connect.
 */
transom_status transom_websocket_upgrade_add_origin(transom_websocket_upgrade *upgrade,
                                                    const char *origin);

/*
 * Checks the handshake of a WebSocket connection (RFC 6455 4.2), and answers with "101 Switching
 * Protocols" and these fields. Stores the connection in `*out`. What is sent before the 101 is out
 * follows it. With NULL as `upgrade`, the settings are the default ones. The request is not valid any
 * more.
 *
 * The request is the one of the responder. If it was taken with transom_server_next_batch, its record
 * must have TRANSOM_UPGRADE or TRANSOM_STREAMS: otherwise the library has no more of it, and the
 * client gets a 426.
 *
 * If the handshake is wrong, the client gets the answer that RFC 6455 4.4 demands, and this returns
 * TRANSOM_BAD_HANDSHAKE, with the reason in `*error`: a 426 if the client asks for no WebSocket or for
 * another version than 13, a 400 for a bad key, a 403 for an origin that may not connect. The
 * responder is then used up.
 *
 * Errors: as transom_responder_send; TRANSOM_ALREADY_ANSWERED also if `upgrade` was freed. `*out` is
 * then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_responder_accept_websocket(transom_responder *responder,
                                                  const transom_websocket_upgrade *upgrade,
                                                  const transom_field *fields,
                                                  size_t field_count,
                                                  transom_websocket **out,
                                                  transom_error **error);

/*
 * Sends a message of `len` bytes, which are copied, and which may be compressed. `kind` is
 * TRANSOM_WEBSOCKET_TEXT, with bytes that are UTF-8, or TRANSOM_WEBSOCKET_BINARY. `len` may be
 * TRANSOM_NUL_TERMINATED.
 *
 * A message is taken whole while less than TRANSOM_WEBSOCKET_QUEUE_LIMIT waits to be sent. Otherwise
 * this waits for room for at most `timeout_ms` milliseconds. 0 does not wait. TRANSOM_FOREVER is no
 * limit: a client that reads more slowly than the limit "write_rate" is cut after the timeout "write".
 *
 * Errors after which you may send again: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and
 * TRANSOM_TIMEOUT, when there is no room (transom_websocket_on_writable tells when there is);
 * TRANSOM_NOT_UTF8; TRANSOM_NO_MEMORY; TRANSOM_INVALID_ARGUMENT for another kind or a negative time.
 *
 * Other errors: TRANSOM_GONE if the connection closes or has closed; TRANSOM_WOULD_DEADLOCK if this
 * would have to wait on a thread that serves connections; TRANSOM_ALREADY_ANSWERED if the connection
 * was freed.
 */
TRANSOM_MUST_USE
transom_status transom_websocket_send(transom_websocket *websocket,
                                      int32_t kind,
                                      const void *data,
                                      size_t len,
                                      int64_t timeout_ms);

/*
 * Sends a piece of a message, so that a large one need not be in memory whole; `is_last` ends the
 * message. The pieces of a message come from one thread, one after another, and have one kind; those of
 * a text have whole characters. They are not compressed. Other messages are taken meanwhile, and leave
 * after the last piece; Pings and Pongs may leave between two.
 *
 * Errors: as transom_websocket_send; TRANSOM_INVALID_ARGUMENT also if the first piece had another kind.
 */
TRANSOM_MUST_USE
transom_status transom_websocket_send_piece(transom_websocket *websocket,
                                            int32_t kind,
                                            const void *data,
                                            size_t len,
                                            bool is_last,
                                            int64_t timeout_ms);

/*
 * Sends a Ping with a payload of `len` bytes, at most 125; a longer one is cut. The client answers it
 * with a Pong, which is not received as a message. This is not needed to find out that a client is gone:
 * TRANSOM_WEBSOCKET_PING_INTERVAL_MS does that. Nothing is sent if too much waits, or the connection
 * closes.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
transom_status transom_websocket_ping(transom_websocket *websocket,
                                      const void *data,
                                      size_t len);

/*
 * Begins to close the connection, after the messages that wait, with a code (RFC 6455 7.4), such as
 * 1000, and a reason, which may be NULL. The first close counts. Nothing can be sent after this, and
 * messages of the client still come until it closes too: receive until TRANSOM_GONE to read them, or
 * free the connection.
 *
 * The reason is cut to 123 bytes.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT for a code that no Close frame may have: 1000 to 1003, 1007 to 1014
 * and 3000 to 4999 may be sent; TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
transom_status transom_websocket_close(transom_websocket *websocket,
                                       uint16_t code,
                                       const char *reason);

/*
 * Returns the code with which the connection ended: that of the client's Close, or 1005 if it had
 * none; that of the server's if the client broke a rule or a limit; or 1006 if the connection was lost.
 * Returns 0 while messages may come, for NULL, and for a connection that was freed.
 */
uint16_t transom_websocket_close_code(const transom_websocket *websocket);

/*
 * Writes the reason that came with the code of transom_websocket_close_code to `buf`: UTF-8, at most
 * 123 bytes, often none.
 *
 * Works as snprintf: at most `cap` bytes are written, the last of which is a NUL, and the length of
 * the whole text without the NUL is returned.
 */
size_t transom_websocket_close_reason(const transom_websocket *websocket, char *buf, size_t cap);

/*
 * Returns true once the connection closes: nothing can be sent any more. Also returns true for NULL and
 * for a connection that was freed.
 */
bool transom_websocket_is_closed(const transom_websocket *websocket);

/* Returns how many bytes wait to be sent. Returns 0 for NULL and for a connection that was freed. */
size_t transom_websocket_queued(const transom_websocket *websocket);

/*
 * Returns true if messages are compressed (RFC 7692). Returns false for NULL and for a connection that
 * was freed.
 */
bool transom_websocket_is_compressed(const transom_websocket *websocket);

/*
 * Writes the subprotocol that was chosen to `buf`, as snprintf does: see
 * transom_websocket_close_reason. Returns 0 if there is none, for NULL, and for a connection that was
 * freed.
 */
size_t transom_websocket_subprotocol(const transom_websocket *websocket, char *buf, size_t cap);

/*
 * Frees a connection. If it is open, it is closed in order (1000), after the messages that wait. If
 * another thread waits in transom_websocket_receive or transom_websocket_send, it goes on waiting, and
 * the connection is closed after that. Does nothing with NULL.
 */
void transom_websocket_free(transom_websocket *websocket);

/*
 * Sends a message that was received, from this or another connection, without a copy. Waits for room as
 * transom_websocket_send does. A piece is sent as a message of its own.
 *
 * With TRANSOM_OK, the message belongs to the library, and `*message` is NULL. With TRANSOM_GONE, it is
 * freed, and `*message` is NULL too. After each other error it still belongs to you, for another try.
 *
 * Errors: as transom_websocket_send; TRANSOM_NULL_ARGUMENT also if `*message` is NULL.
 */
TRANSOM_MUST_USE
transom_status transom_websocket_send_message(transom_websocket *websocket,
                                              transom_websocket_message **message,
                                              int64_t timeout_ms);

/*
 * Queues a message as transom_websocket_send does with a timeout of 0, and leaves it to
 * transom_websocket_flush to have it written. Use this for many connections at once, or for several
 * messages of one: the threads of the server are then woken once. Until the flush, the message may leave
 * at any time, such as with a Pong or a message that is sent.
 *
 * Errors: as transom_websocket_send with a timeout of 0.
 */
TRANSOM_MUST_USE
transom_status transom_websocket_feed(transom_websocket *websocket,
                                      int32_t kind,
                                      const void *data,
                                      size_t len);

/*
 * Has the messages written that transom_websocket_feed has queued for `count` connections, and wakes each
 * thread of the server at most once. It does not wait. A connection that was freed, and NULL, have
 * nothing to write.
 *
 * Errors: TRANSOM_NULL_ARGUMENT if `websockets` is NULL and `count` is not 0.
 */
transom_status transom_websocket_flush(transom_websocket *const *websockets,
                                       size_t count);

/*
 * Receives the next message, and stores it in `*message`. Waits until there is one, at most
 * `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). With
 * TRANSOM_WEBSOCKET_IN_PIECES, messages come in pieces as they arrive; the pieces of a text have whole
 * characters. If several threads receive, each message goes to one of them.
 *
 * 64 KiB of messages may wait to be received; then the client has to wait.
 *
 * Errors: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and TRANSOM_TIMEOUT, after which you may receive
 * again; TRANSOM_GONE if nothing more comes (transom_websocket_close_code says why; free the
 * connection); TRANSOM_WOULD_DEADLOCK if this would have to wait on a thread that serves connections;
 * TRANSOM_INVALID_ARGUMENT if the time is negative; TRANSOM_ALREADY_ANSWERED if the connection was
 * freed. `*message` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_websocket_receive(transom_websocket *websocket,
                                         int64_t timeout_ms,
                                         transom_websocket_message **message);

/*
 * Receives the next message as transom_websocket_receive does, but copies its bytes to `buf`, which has
 * room for `cap` of them. Stores their number in `*len`, the transom_websocket_kind in `*kind`, and in
 * `*is_last`, which may be NULL, if this is the last piece.
 *
 * Errors: as transom_websocket_receive; TRANSOM_BUFFER_TOO_SMALL if the message does not fit: `*len` is
 * then its length, and the message is the next one still. Otherwise `*len` is 0 after an error.
 */
TRANSOM_MUST_USE
transom_status transom_websocket_receive_into(transom_websocket *websocket,
                                              void *buf,
                                              size_t cap,
                                              int64_t timeout_ms,
                                              int32_t *kind,
                                              bool *is_last,
                                              size_t *len);

/*
 * Receives the next message as transom_websocket_receive_into does with a timeout of 0. If there is none,
 * this returns TRANSOM_WOULD_BLOCK, and TRANSOM_EVENT_WEBSOCKET_MESSAGE is reported to `events` once, as
 * after transom_events_await_websocket_message.
 *
 * Errors: as transom_websocket_receive_into.
 */
TRANSOM_MUST_USE
transom_status transom_events_receive_websocket_message(transom_events *events,
                                                        transom_websocket *websocket,
                                                        void *buf,
                                                        size_t cap,
                                                        int32_t *kind,
                                                        bool *is_last,
                                                        size_t *len);

/* Frees a message. Does nothing with NULL. */
void transom_websocket_message_free(transom_websocket_message *message);

/*
 * Calls `function` once, when there is a message to receive, or nothing more comes. If that is so
 * already, the call happens before this function returns.
 *
 * `function` runs on a thread that serves connections and must not block; it may receive and send with
 * a timeout of 0, and free the connection. It is not called if the connection is freed first. After a
 * call, receive until TRANSOM_WOULD_BLOCK, and register again.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed; `function` is not called.
 */
transom_status transom_websocket_on_message(transom_websocket *websocket,
                                            transom_callback_fn function,
                                            void *user_data,
                                            transom_free_fn free_fn);

/*
 * Calls `function` once, when there is room again after TRANSOM_WOULD_BLOCK, for a message or for a
 * piece of one, whichever was refused last; or when the connection closes. Otherwise as
 * transom_websocket_on_message.
 */
transom_status transom_websocket_on_writable(transom_websocket *websocket,
                                             transom_callback_fn function,
                                             void *user_data,
                                             transom_free_fn free_fn);

/*
 * Calls `function` once, when the connection has ended: the Close of the client has come, the client
 * broke a rule, or the connection was lost (transom_websocket_close_code). Messages that came before may
 * still wait to be received. Otherwise as transom_websocket_on_message.
 */
transom_status transom_websocket_on_closed(transom_websocket *websocket,
                                           transom_callback_fn function,
                                           void *user_data,
                                           transom_free_fn free_fn);

/*
 * Reports TRANSOM_EVENT_WEBSOCKET_MESSAGE to `events` once, when there is a message to receive, or
 * nothing more comes; at once if that is so already. Call this again after the event to be told again.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
transom_status transom_events_await_websocket_message(transom_events *events,
                                                      transom_websocket *websocket);

/*
 * Reports TRANSOM_EVENT_WEBSOCKET_WRITABLE to `events` once, when there is room again after
 * TRANSOM_WOULD_BLOCK or the connection closes, or at once if that is so already. Call this again after
 * the event to be told again.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
transom_status transom_events_await_websocket_writable(transom_events *events,
                                                       transom_websocket *websocket);

/*
 * Reports TRANSOM_EVENT_WEBSOCKET_CLOSED to `events` once, when the connection has ended (see
 * transom_websocket_on_closed), or at once if that is so already.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
 */
transom_status transom_events_watch_websocket_closed(transom_events *events,
                                                     transom_websocket *websocket);

/*
 * Makes a broadcast without members and stores it in `*out`. `slow` is a transom_slow_reader: what
 * happens to a member for which as many bytes wait as may (TRANSOM_WEBSOCKET_QUEUE_LIMIT). With
 * TRANSOM_SLOW_READER_CLOSE it is closed with 1008.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if `slow` is no transom_slow_reader; TRANSOM_IO if there are too many
 * broadcasts. `*out` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_broadcast_new(int32_t slow,
                                     transom_broadcast **out);

/*
 * Adds a connection. One that is a member already is not added again. It still belongs to you: keep it
 * as long as it shall be open.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the broadcast or the connection was freed.
 */
transom_status transom_broadcast_add(transom_broadcast *broadcast,
                                     transom_websocket *websocket);

/*
 * Removes a connection, if it is a member. It still gets what waits for it.
 *
 * Errors: as transom_broadcast_add.
 */
transom_status transom_broadcast_remove(transom_broadcast *broadcast, transom_websocket *websocket);

/*
 * Sends a message to all members, as transom_websocket_send does to one, without waiting for any. Stores
 * in `*reached` how many take it; `reached` may be NULL. With TRANSOM_SLOW_READER_COALESCE, those count
 * too that get it once there is room.
 *
 * Errors: TRANSOM_NOT_UTF8; TRANSOM_NO_MEMORY; TRANSOM_INVALID_ARGUMENT for another kind;
 * TRANSOM_ALREADY_ANSWERED if the broadcast was freed. `*reached` is then 0.
 */
transom_status transom_broadcast_send(transom_broadcast *broadcast,
                                      int32_t kind,
                                      const void *data,
                                      size_t len,
                                      size_t *reached);

/*
 * Returns the number of members whose connections are open; 0 for NULL and for a broadcast that was
 * freed.
 */
size_t transom_broadcast_count(const transom_broadcast *broadcast);

/* Frees a broadcast. Its members stay as they are. Does nothing with NULL, nor when it was freed before. */
void transom_broadcast_free(transom_broadcast *broadcast);


/* ---- Server-sent events -------------------------------------------------------------- */

/*
 * Begins a response that sends events as they come, with status 200, `text/event-stream`, and these
 * fields, of which Cache-Control replaces "no-store". Stores its sender in `*out`. `settings` may be
 * NULL. The request is not valid any more.
 *
 * While there are no events, comments are sent. When the server begins to stop, the response ends in
 * order after the events that wait. transom_request_header(request, "last-event-id") is the id of the
 * last event that the client got before it lost the connection.
 *
 * Errors: as transom_responder_send; TRANSOM_NOT_UTF8, and TRANSOM_INVALID_ARGUMENT for a setting, after
 * which the responder can still be used. `*out` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_responder_start_sse(transom_responder *responder,
                                           const transom_field *fields,
                                           size_t field_count,
                                           const transom_sse_settings *settings,
                                           transom_sse **out,
                                           transom_error **error);

/*
 * Sends an event, which is copied. If the client reads more slowly than you send, this waits for room
 * for at most `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). After an error,
 * nothing of the event is sent.
 *
 * Errors after which you may send again: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and TRANSOM_TIMEOUT
 * without room (transom_sse_on_writable tells when there is); TRANSOM_INVALID_ARGUMENT if the event or
 * its id has a CR, LF or NUL, or if the retry is negative or more than 2^53; TRANSOM_NOT_UTF8.
 *
 * Other errors: TRANSOM_GONE if the client left or the server stops (free the sender);
 * TRANSOM_WOULD_DEADLOCK if this would have to wait in an inline handler or in a callback;
 * TRANSOM_ALREADY_ANSWERED if the sender was freed.
 */
TRANSOM_MUST_USE
transom_status transom_sse_send(transom_sse *sse,
                                const transom_sse_event *event,
                                int64_t timeout_ms);

/*
 * Returns true if no event would be sent any more: the client has left, or the server stops. Also
 * returns true for NULL and for a sender that was freed.
 */
bool transom_sse_is_gone(const transom_sse *sse);

/* Returns how many bytes wait to be sent; 0 for NULL and for a sender that was freed. */
size_t transom_sse_queued(const transom_sse *sse);

/*
 * Calls `function` once, when there is room again after TRANSOM_WOULD_BLOCK, or when no event would be
 * sent any more. If that is so already, the call happens before this function returns.
 *
 * `function` runs on a thread that serves connections, or on one that sends, and must not block. It is
 * not called if the sender is freed first.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the sender was freed; `function` is not called.
 */
transom_status transom_sse_on_writable(transom_sse *sse,
                                       transom_callback_fn function,
                                       void *user_data,
                                       transom_free_fn free_fn);

/*
 * Calls `function` once, when no event would be sent any more: the client has left, or the server
 * stops. If that is so already, the call happens before this function returns. A program that keeps
 * senders needs this to free them.
 *
 * `function` and errors: as transom_sse_on_writable.
 */
transom_status transom_sse_on_gone(transom_sse *sse,
                                   transom_callback_fn function,
                                   void *user_data,
                                   transom_free_fn free_fn);

/*
 * Frees a sender. The response ends in order after the events that wait. Does nothing with NULL, nor
 * when it was freed before.
 */
void transom_sse_free(transom_sse *sse);

/*
 * Makes a broadcast and stores it in `*out`. `slow` is a transom_slow_reader: what happens to a client
 * for which as many bytes wait as may. The last `history` events are kept for clients that connect again
 * and say which they got last; 0 keeps none.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if `slow` is no transom_slow_reader; TRANSOM_IO if there are too many
 * broadcasts. `*out` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_sse_broadcast_new(int32_t slow,
                                         size_t history,
                                         transom_sse_broadcast **out);

/*
 * Answers a request with the events of the broadcast, from now on, as transom_responder_start_sse does.
 * The response ends when its client leaves, the server begins to stop, or the broadcast is closed or
 * freed.
 *
 * `last_event_id` is what transom_request_header(request, "last-event-id") returns. If the broadcast
 * keeps events, the client first gets those after that one, or all that are kept if that one is not.
 * With {NULL, 0} it gets only new ones.
 *
 * Errors: as transom_responder_start_sse; TRANSOM_ALREADY_ANSWERED also if the broadcast was freed.
 */
TRANSOM_MUST_USE
transom_status transom_sse_broadcast_subscribe(transom_sse_broadcast *broadcast,
                                               transom_responder *responder,
                                               transom_bytes last_event_id,
                                               const transom_field *fields,
                                               size_t field_count,
                                               const transom_sse_settings *settings,
                                               transom_error **error);

/*
 * Sends an event to all clients, and stores in `*reached` how many get it; `reached` may be NULL. Waits
 * for none.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT and TRANSOM_NOT_UTF8 as transom_sse_send;
 * TRANSOM_ALREADY_ANSWERED if the broadcast was freed.
 */
transom_status transom_sse_broadcast_send(transom_sse_broadcast *broadcast,
                                          const transom_sse_event *event,
                                          size_t *reached);

/* Returns the number of clients that get events; 0 for NULL and for a broadcast that was freed. */
size_t transom_sse_broadcast_count(const transom_sse_broadcast *broadcast);

/*
 * Ends the responses to all clients in order, after the events that wait. Later requests may subscribe.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the broadcast was freed.
 */
transom_status transom_sse_broadcast_close(transom_sse_broadcast *broadcast);

/*
 * Frees a broadcast, after ending its responses in order. Does nothing with NULL, nor when it was freed
 * before.
 */
void transom_sse_broadcast_free(transom_sse_broadcast *broadcast);


/* ---- Client: a connection in memory, for tests --------------------------------------- */

/*
 * Connects to a server that was started, in memory. Stores the client in `*out`. `peer` is the address
 * that the server has for the client, such as "127.0.0.1:50000"; with NULL the address is "unknown".
 * TLS, the PROXY protocol and the other settings of a listener do not apply.
 *
 * Each client has a thread of the server, which serves its connection in every model and ends with it.
 *
 * Errors: TRANSOM_NOT_STARTED; TRANSOM_BAD_ADDRESS if `peer` is no IP address with a port; TRANSOM_IO
 * if the system refuses a thread. `*out` is then NULL.
 */
TRANSOM_MUST_USE
transom_status transom_server_connect(transom_server *server,
                                      const char *peer,
                                      transom_client **out,
                                      transom_error **error);

/*
 * Reads what the server has sent: stores up to `cap` bytes in `buf`, and their number in `*len`. 0
 * bytes are the end: the server has closed the connection in order. Waits until there is something,
 * at most `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit).
 *
 * Errors: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and TRANSOM_TIMEOUT, after which you may read
 * again; TRANSOM_GONE if the server has reset the connection; TRANSOM_WOULD_DEADLOCK if this would
 * have to wait on a thread that serves connections; TRANSOM_INVALID_ARGUMENT if `cap` is 0 or the
 * time is negative; TRANSOM_ALREADY_ANSWERED if the client was freed. `*len` is then 0.
 */
TRANSOM_MUST_USE
transom_status transom_client_read(transom_client *client,
                                   void *buf,
                                   size_t cap,
                                   int64_t timeout_ms,
                                   size_t *len);

/*
 * Writes `len` bytes to the server, which are copied, as transom_writer_write writes to a body: all
 * or none of them are taken. `len` may be TRANSOM_NUL_TERMINATED.
 *
 * Errors: as transom_writer_write; TRANSOM_GONE also after transom_client_finish;
 * TRANSOM_ALREADY_ANSWERED if the client was freed.
 */
TRANSOM_MUST_USE
transom_status transom_client_write(transom_client *client,
                                    const void *data,
                                    size_t len,
                                    int64_t timeout_ms);

/*
 * Closes the sending side of the connection, after what was written. The server may still send.
 *
 * Errors: TRANSOM_ALREADY_ANSWERED if the client was freed.
 */
transom_status transom_client_finish(transom_client *client);

/* Frees a client and breaks its connection off, as a client does that crashes. Does nothing with NULL. */
void transom_client_free(transom_client *client);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TRANSOM_H */
