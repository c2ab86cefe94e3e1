/*
 * Functions of the library, as the test programs call them on POSIX: with numbers of files in the C runtime,
 * numbers of errors of POSIX, and models that Windows lacks.
 */
#ifndef TRANSOM_TESTS_ADAPTED_H
#define TRANSOM_TESTS_ADAPTED_H

#include <sys/socket.h>
#include <transom.h>

/* Windows has one model, which takes the turns of the others too. */
static inline transom_status set_model(transom_server *server, const char *model, transom_error **error)
{
    int is_other = model != NULL && (strcmp(model, "threads") == 0 || strcmp(model, "sequential") == 0);
    return transom_server_set_model(server, is_other ? "event" : model, error);
}

/* Returns the number of POSIX for an error of Windows. */
static inline int posix_number(int error)
{
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        return ENOENT;
    case ERROR_INVALID_HANDLE:
        return EBADF;
    case WSAEADDRINUSE:
        return EADDRINUSE;
    case WSAEADDRNOTAVAIL:
        return EADDRNOTAVAIL;
    default:
        return error;
    }
}

#define transom_server_set_model(server, model, error) set_model(server, model, error)
#define transom_error_errno(error) posix_number((transom_error_errno)(error))
/* The number of a socket that the library gives away, for `close`. */
#define transom_server_listener(server, index) posix_given((transom_server_listener)(server, index))
#define transom_server_listen_fd(server, fd, error) (transom_server_listen_fd)(server, posix_descriptor(fd), error)
#define transom_access_log_open_fd(fd, log, error) (transom_access_log_open_fd)(posix_descriptor(fd), log, error)
#define transom_responder_send_file(responder, code, fields, count, fd, offset, length, error)                        \
    (transom_responder_send_file)(responder, code, fields, count, posix_descriptor(fd), offset, length, error)

#endif
