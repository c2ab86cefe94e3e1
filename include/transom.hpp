/*
 * transom.hpp - an embeddable HTTP server, for C++17.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 *     #include <transom.hpp>
 *
 *     int main()
 *     {
 *         transom::Server server;
 *         server.get("/hello/{name}", [](const transom::Request &request) {
 *             return "hello, " + std::string(request.param("name")) + "\n";
 *         });
 *         server.run("127.0.0.1:8080");
 *     }
 *
 * This header wraps transom.h, which is the manual: the names here are those of C without their
 * prefix, and a comment here says what C++ adds. The header has no library of its own; a program
 * links with libtransom only. Several translation units may include it. It defines no macro
 * except its guard. A program that is compiled with -fno-exceptions must use transom.h.
 *
 * The rules of transom.h hold (threads, stopping, signals, forking), and these besides:
 *
 * ERRORS. A function throws Error when the program made a mistake or the system refused
 * something: a malformed route, an address in use, a header field that only the server may set.
 * A client that leaves is no error: the functions that send then return false or TRANSOM_GONE.
 * A function that is noexcept never throws. std::bad_alloc is thrown as anywhere.
 *
 * OWNERSHIP. Server, Route, Responder, Writer and Events own what they hold, free it when they
 * are destroyed, and cannot be copied. An object that was moved from owns nothing. Request and
 * std::string_view own nothing: they are valid as long as the request, see Request. What you
 * pass in is copied, unless it is an rvalue and the comment says that it is moved.
 *
 * CALLABLES. A function, a lambda or any other object with operator() is moved to the heap once,
 * when it is registered, and destroyed exactly once: after its last call, or at once if the
 * registration fails. It may capture objects that can only be moved. Its destructor must not
 * throw. If a callable throws, the exception goes no further: it is written to the log of the
 * library (see set_logger), and a request whose handler throws gets a 500, unless it has its
 * response already. A callable must not exit its thread by pthread_exit or pthread_cancel.
 *
 * THREADS. Several threads may run the same handler at the same time, so handlers are called as
 * const: a lambda must not be mutable. Guard what it changes with a mutex or an atomic. Two
 * threads must not use the same Responder, Writer or Route object at the same time without a
 * lock. Every const function, and every function of Server and Events, may be called on several
 * threads.
 */
#ifndef TRANSOM_HPP
#define TRANSOM_HPP

#include "transom.h"

#if !defined(__cpp_exceptions) && !defined(__EXCEPTIONS) && !defined(_CPPUNWIND)
#error "transom.hpp needs exceptions: use transom.h in a program that is compiled without them"
#endif
#if __cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L)
#error "transom.hpp needs C++17: compile with -std=c++17 or later"
#endif

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#ifndef _WIN32
#include <fcntl.h>
#endif

namespace transom {

class Responder;

/* ---- Errors and times ---------------------------------------------------------------- */

/* Times are in milliseconds, as those of C; std::chrono::seconds converts to them by itself. */
using Milliseconds = std::chrono::milliseconds;

/* As a timeout: no limit. */
inline constexpr Milliseconds forever{TRANSOM_FOREVER};

/*
 * Says what was refused and why, in one sentence, by what(). Objects of this class own their
 * text.
 */
class Error : public std::runtime_error {
public:
    Error(transom_status code, const std::string &message, int error_number = 0)
        : std::runtime_error(message), code_(code), error_number_(error_number)
    {
    }

    explicit Error(transom_status code) : Error(code, transom_status_text(code)) {}

    /* Returns the status, such as TRANSOM_ADDRESS_IN_USE. */
    [[nodiscard]] transom_status code() const noexcept { return code_; }

    /* Returns the errno of the system call that failed, or 0 if none did. */
    [[nodiscard]] int error_number() const noexcept { return error_number_; }

private:
    transom_status code_;
    int error_number_;
};

/*
 * Says why the body of a request ended before its end. A handler that returns its response need
 * not catch it: the client gets a 408, 413 or 400 then, and nothing if it has left.
 */
class BodyError : public Error {
public:
    using Error::Error;

    /* Returns the status code for a response: 408, 413, 400 or 500. */
    [[nodiscard]] int status_code() const noexcept
    {
        return code() == TRANSOM_TOO_SLOW         ? 408
               : code() == TRANSOM_BODY_TOO_LARGE ? 413
               : code() == TRANSOM_BAD_BODY       ? 400
                                                  : 500;
    }
};

/* What is in here is used by the rest of this header, and may change. */
namespace detail {

/* Holds the error of one call; as an argument, it is the place where the call stores it. */
class ErrorSlot {
public:
    ErrorSlot() = default;
    ErrorSlot(const ErrorSlot &) = delete;
    ErrorSlot &operator=(const ErrorSlot &) = delete;
    ~ErrorSlot() { transom_error_free(error_); }

    operator transom_error **() noexcept { return &error_; }

    /* Throws the error, if the call has failed. */
    void check(transom_status status) const
    {
        if (status == TRANSOM_OK)
            return;
        if (error_ == nullptr)
            throw Error(status);
        throw Error(transom_error_code(error_), transom_error_message(error_), transom_error_errno(error_));
    }

private:
    transom_error *error_ = nullptr;
};

inline void check(transom_status status)
{
    if (status != TRANSOM_OK)
        throw Error(status);
}

/* For handles, which are NULL only if the library has a defect or there is no memory. */
template <class T> T *check(T *handle)
{
    if (handle == nullptr)
        throw Error(TRANSOM_PANIC);
    return handle;
}

/* The text with a NUL after it, as C wants it. Does not allocate for less than 128 bytes. */
class CText {
public:
    CText(std::string_view text)
    {
        if (text.find('\0') != std::string_view::npos)
            throw Error(TRANSOM_INVALID_ARGUMENT, "the text contains a NUL");
        if (text.size() < sizeof small_) {
            if (!text.empty())
                std::memcpy(small_, text.data(), text.size());
            small_[text.size()] = '\0';
        } else {
            large_.assign(text);
        }
    }

    operator const char *() const noexcept { return large_.empty() ? small_ : large_.c_str(); }

private:
    char small_[128];
    std::string large_;
};

inline std::string_view view(transom_bytes bytes) noexcept
{
    return {reinterpret_cast<const char *>(bytes.data), bytes.len};
}

inline transom_bytes bytes(std::optional<std::string_view> text) noexcept
{
    if (!text)
        return {nullptr, 0};
    return {reinterpret_cast<const std::uint8_t *>(text->data() == nullptr ? "" : text->data()), text->size()};
}

inline std::optional<std::string_view> maybe(transom_bytes bytes) noexcept
{
    return bytes.data == nullptr ? std::nullopt : std::optional(view(bytes));
}

/* An integer that does not fit is 0, which is no status code. */
inline std::uint16_t code(int status) noexcept
{
    return status < 0 || status > 65535 ? std::uint16_t{0} : static_cast<std::uint16_t>(status);
}

/* Logs the exception that is being handled, as that of the callable `what`. */
inline void log_exception(std::string_view what, std::int32_t level = 1) noexcept
{
    const char *message = "an exception that is no std::exception";
    std::exception_ptr kept = std::current_exception();
    try {
        std::string line(what);
        try {
            std::rethrow_exception(kept);
        } catch (const std::exception &exception) {
            message = exception.what();
        } catch (...) {
        }
        transom_log(level, line.append(" threw: ").append(message).c_str());
    } catch (...) {
        transom_log(1, "a callable threw, and there is no memory to say what");
    }
}

/* Destroys the callable that was registered as user data. */
template <class F> void destroy(void *user_data) noexcept
{
    delete static_cast<F *>(user_data);
}

/* Calls a callable that is called once, and has no arguments. */
template <class F> void call_once(void *user_data) noexcept
{
    try {
        (*static_cast<F *>(user_data))();
    } catch (...) {
        log_exception("a callback");
    }
}

/*
 * Registers `function` with C, by `registration(function pointer, user data, free function)`,
 * which owns the user data whatever it returns.
 */
template <class F, class Registration> transom_status register_once(F &&function, Registration registration)
{
    using Callable = std::decay_t<F>;
    static_assert(std::is_invocable_v<Callable &>, "a callback is called without arguments");
    auto callable = std::make_unique<Callable>(std::forward<F>(function));
    return registration(&call_once<Callable>, callable.release(), &destroy<Callable>);
}

template <class T, class = void> struct is_bytes : std::false_type {
};
template <class T>
struct is_bytes<T, std::void_t<decltype(std::declval<const T &>().data()), decltype(std::declval<const T &>().size())>>
    : std::bool_constant<sizeof(*std::declval<const T &>().data()) == 1> {
};

#ifdef _WIN32
/* As <windows.h> declares them, which would bring its macros. */
extern "C" {
struct _SECURITY_ATTRIBUTES;
__declspec(dllimport) int __stdcall MultiByteToWideChar(unsigned int, unsigned long, const char *, int, wchar_t *, int);
__declspec(dllimport) void *__stdcall CreateFileW(const wchar_t *, unsigned long, unsigned long,
                                                  struct _SECURITY_ATTRIBUTES *, unsigned long, unsigned long, void *);
__declspec(dllimport) unsigned long __stdcall GetLastError(void);
}

/* Opens a file to be read, whose name is UTF-8. */
inline transom_descriptor open_file(const char *path)
{
    const unsigned int utf8 = 65001;
    const int length = MultiByteToWideChar(utf8, 0, path, -1, nullptr, 0);
    std::wstring name(length > 0 ? static_cast<std::size_t>(length) : 1, L'\0');
    MultiByteToWideChar(utf8, 0, path, -1, &name[0], length);
    /* GENERIC_READ; FILE_SHARE_READ, _WRITE and _DELETE; OPEN_EXISTING. */
    void *const file = CreateFileW(name.c_str(), 0x80000000UL, 7, nullptr, 3, 0, nullptr);
    const auto descriptor = reinterpret_cast<transom_descriptor>(file);
    if (descriptor == -1)
        throw Error(TRANSOM_IO, std::string("cannot open ") + path, static_cast<int>(GetLastError()));
    return descriptor;
}
#else
inline transom_descriptor open_file(const char *path)
{
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int number = errno;
        throw Error(TRANSOM_IO, std::string("cannot open ") + path + ": " + std::strerror(number), number);
    }
    return fd;
}
#endif

} // namespace detail

/* ---- The library --------------------------------------------------------------------- */

/* Returns the version of the library that is loaded, as "major.minor.patch". */
[[nodiscard]] inline std::string_view version() noexcept
{
    return transom_version();
}

/* Returns true if the library was built with this feature: see transom_has_feature. */
[[nodiscard]] inline bool has_feature(std::string_view name)
{
    return transom_has_feature(detail::CText(name));
}

/* Returns the meaning of a status in a few English words. */
[[nodiscard]] inline std::string_view status_text(transom_status status) noexcept
{
    return transom_status_text(status);
}

/* The level of a log message; `off` is for the functions that set the highest level. */
enum class Level : std::int32_t { off = 0, error = 1, warning = 2, info = 3, debug = 4, trace = 5 };

/*
 * Sends the log messages of the library to `function(Level, std::string_view)`, on any thread,
 * on several at the same time. The function must not block. It stays until the process ends, so
 * it is never destroyed. What it throws is dropped.
 *
 * Errors: TRANSOM_ALREADY_STARTED if a logger was set before; the first one stays.
 */
template <class F> void set_logger(F &&function)
{
    using Callable = std::decay_t<F>;
    static_assert(std::is_invocable_v<const Callable &, Level, std::string_view>,
                  "a logger is called as function(transom::Level, std::string_view), and as const");
    auto callable = std::make_unique<Callable>(std::forward<F>(function));
    detail::check(transom_set_logger(
        [](void *user_data, std::int32_t level, const char *message) noexcept {
            try {
                (*static_cast<const Callable *>(user_data))(static_cast<Level>(level), std::string_view(message));
            } catch (...) {
                // There is nowhere to report it.
            }
        },
        callable.get()));
    static_cast<void>(callable.release());
}

/* Sets the highest level of the messages that the logger gets. Without this call it gets all. */
inline void set_log_level(Level level)
{
    detail::check(transom_set_log_level(static_cast<std::int32_t>(level)));
}

/* Writes one line to the log of the library. It goes where the library's own messages go. */
inline void log(Level level, std::string_view message)
{
    detail::check(transom_log(static_cast<std::int32_t>(level), std::string(message).c_str()));
}

/* A log message that Events::log has kept. */
struct LogMessage {
    Level level;
    std::string text;
};

/* Takes the oldest message that is kept, or nothing if there is none. Does not wait. */
[[nodiscard]] inline std::optional<LogMessage> next_log_message()
{
    std::string text(4096, '\0');
    std::int32_t level = 0;
    std::size_t length = 0;
    const transom_status status =
        transom_log_next(&level, reinterpret_cast<std::uint8_t *>(text.data()), text.size(), &length);
    if (status == TRANSOM_TIMEOUT)
        return std::nullopt;
    detail::check(status);
    text.resize(length);
    return LogMessage{static_cast<Level>(level), std::move(text)};
}

/* The values that a limit may have: see transom_limit_range. */
struct LimitRange {
    std::uint64_t least, most;
};

/* The times that a timeout may have, besides `forever`: see transom_timeout_range. */
struct TimeoutRange {
    Milliseconds least, most;
};

/* Returns the range of a limit. Errors: TRANSOM_INVALID_ARGUMENT if there is no such limit. */
[[nodiscard]] inline LimitRange limit_range(std::string_view name)
{
    LimitRange range{};
    detail::check(transom_limit_range(detail::CText(name), &range.least, &range.most));
    return range;
}

/* Returns the range of a timeout. Errors: TRANSOM_INVALID_ARGUMENT if there is no such timeout. */
[[nodiscard]] inline TimeoutRange timeout_range(std::string_view name)
{
    std::int64_t least = 0, most = 0;
    detail::check(transom_timeout_range(detail::CText(name), &least, &most));
    return {Milliseconds(least), Milliseconds(most)};
}

/* ---- Header fields ------------------------------------------------------------------- */

/*
 * A name and a value. It owns neither: both must live until the call that it is passed to has
 * returned. It has the layout of a transom_field, so a list of them is passed to C as it is.
 */
class Field {
public:
    constexpr Field() noexcept : field_{{nullptr, 0}, {nullptr, 0}} {}
    explicit constexpr Field(const transom_field &field) noexcept : field_(field) {}
    Field(std::string_view name, std::string_view value) noexcept : field_{bytes(name), bytes(value)} {}

    /* Returns the name, such as "content-type". */
    [[nodiscard]] std::string_view name() const noexcept { return detail::view(field_.name); }

    /* Returns the value, such as "text/html". */
    [[nodiscard]] std::string_view value() const noexcept { return detail::view(field_.value); }

    /* Returns the field for functions of transom.h. */
    [[nodiscard]] constexpr const transom_field &handle() const noexcept { return field_; }

private:
    static transom_bytes bytes(std::string_view text) noexcept
    {
        return {reinterpret_cast<const std::uint8_t *>(text.data() == nullptr ? "" : text.data()), text.size()};
    }

    transom_field field_;
};

static_assert(sizeof(Field) == sizeof(transom_field) && std::is_standard_layout_v<Field> &&
                  std::is_trivially_copyable_v<Field>,
              "a list of Field is a list of transom_field");

/*
 * The header fields of a response: {{"content-type", "text/html"}, {"etag", tag}}, or a
 * std::vector or array of Field. It owns nothing and allocates nothing. Use it as a parameter
 * only: the list must live as long as the Fields.
 */
class Fields {
public:
    constexpr Fields() noexcept = default;
    constexpr Fields(const Field *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class List, class = std::enable_if_t<std::is_convertible_v<decltype(std::declval<const List &>().data()),
                                                                         const Field *>>>
    constexpr Fields(const List &list) noexcept : data_(list.data()), size_(list.size())
    {
    }
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winit-list-lifetime" /* the list of an argument lives as long as the call */
#endif
    constexpr Fields(std::initializer_list<Field> list) noexcept : data_(list.begin()), size_(list.size()) {}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

    [[nodiscard]] constexpr const transom_field *data() const noexcept
    {
        return size_ == 0 ? nullptr : &data_->handle();
    }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }

private:
    const Field *data_ = nullptr;
    std::size_t size_ = 0;
};

/* ---- Cookies ------------------------------------------------------------------------- */

/* The keys that sign the values of cookies: see transom_signing_keys_new. */
class SigningKeys {
public:
    /*
     * Takes a key of at least 32 random bytes.
     *
     * Errors: TRANSOM_INVALID_ARGUMENT if it is shorter.
     */
    explicit SigningKeys(std::string_view key)
    {
        detail::check(transom_signing_keys_new(key.data(), key.size(), &keys_));
    }

    SigningKeys(SigningKeys &&other) noexcept : keys_(std::exchange(other.keys_, nullptr)) {}
    SigningKeys &operator=(SigningKeys &&other) noexcept
    {
        std::swap(keys_, other.keys_);
        return *this;
    }
    ~SigningKeys() { transom_signing_keys_free(keys_); }

    /* Adds an old key, whose signatures are still accepted. Errors as the constructor. */
    SigningKeys &add_old(std::string_view key)
    {
        detail::check(transom_signing_keys_add_old(keys_, key.data(), key.size()));
        return *this;
    }

    [[nodiscard]] transom_signing_keys *handle() const noexcept { return keys_; }

private:
    transom_signing_keys *keys_ = nullptr;
};

/*
 * Returns the value of a field Set-Cookie, signed if there are keys: see transom_format_set_cookie for
 * the attributes.
 *
 * Errors: TRANSOM_INVALID_ARGUMENT if a browser would refuse the cookie.
 */
[[nodiscard]] inline std::string set_cookie(std::string_view name, std::string_view value,
                                            std::string_view attributes = "", const SigningKeys *keys = nullptr)
{
    const detail::CText c_name(name), c_value(value), c_attributes(attributes);
    std::string field(256, '\0');
    for (;;) {
        std::size_t length = 0;
        detail::ErrorSlot error;
        error.check(transom_format_set_cookie(c_name, c_value, c_attributes, keys == nullptr ? nullptr : keys->handle(),
                                              field.data(), field.size(), &length, error));
        const bool fits = length < field.size();
        field.resize(fits ? length : length + 1);
        if (fits)
            return field;
    }
}

/* ---- Request: reading, until it is answered ------------------------------------------ */

/* A name and a value. It owns neither: both are valid as long as what they were read from. */
struct Item {
    std::string_view name, value;
};

/*
 * The header fields or the parameters of a request, or the fields of a response: a range for
 * `for (auto [name, value] : request.headers())`. It owns nothing.
 */
template <class Subject> class Items {
public:
    using Count = std::size_t (*)(const Subject *);
    using At = transom_status (*)(const Subject *, std::size_t, transom_field *);

    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Item;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = Item;

        Iterator() = default;
        [[nodiscard]] Item operator*() const noexcept { return item(subject_, at_, index_); }
        Iterator &operator++() noexcept
        {
            ++index_;
            return *this;
        }
        Iterator operator++(int) noexcept { return std::exchange(*this, Iterator(subject_, at_, index_ + 1)); }
        [[nodiscard]] bool operator==(const Iterator &other) const noexcept { return index_ == other.index_; }
        [[nodiscard]] bool operator!=(const Iterator &other) const noexcept { return index_ != other.index_; }

    private:
        friend Items;
        Iterator(const Subject *subject, At at, std::size_t index) noexcept : subject_(subject), at_(at), index_(index)
        {
        }

        const Subject *subject_ = nullptr;
        At at_ = nullptr;
        std::size_t index_ = 0;
    };

    [[nodiscard]] std::size_t size() const noexcept { return count_(subject_); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] Iterator begin() const noexcept { return {subject_, at_, 0}; }
    [[nodiscard]] Iterator end() const noexcept { return {subject_, at_, size()}; }

    /* Returns the item with this index; both parts are empty if there is none. */
    [[nodiscard]] Item operator[](std::size_t index) const noexcept { return item(subject_, at_, index); }

    /* From the functions of C that count the items and store one of them. */
    Items(const Subject *subject, Count count, At at) noexcept : subject_(subject), count_(count), at_(at) {}

private:
    static Item item(const Subject *subject, At at, std::size_t index) noexcept
    {
        transom_field field{};
        static_cast<void>(at(subject, index, &field));
        return {detail::view(field.name), detail::view(field.value)};
    }

    const Subject *subject_;
    Count count_;
    At at_;
};

/* Returns a text with each %XX as the byte that it stands for. What is malformed stays as it is. */
[[nodiscard]] inline std::string percent_decode(std::string_view text)
{
    std::string decoded(text.size() + 1, '\0');
    decoded.resize(transom_percent_decode(text.data(), text.size(), decoded.data(), decoded.size()));
    return decoded;
}

namespace detail {

/* One address for each type of value. */
template <class T> inline constexpr char type_tag{};

/* A value that a before function gave a request. */
struct AnyValue {
    explicit AnyValue(const void *type) noexcept : tag(type) {}
    AnyValue(const AnyValue &) = delete;
    AnyValue &operator=(const AnyValue &) = delete;
    virtual ~AnyValue() = default;
    const void *tag;
};

template <class T> struct Value final : AnyValue {
    explicit Value(T &&given) : AnyValue(&type_tag<T>), value(std::move(given)) {}
    T value;
};

} // namespace detail

/* The process at the other end of a Unix socket: see transom_request_peer_credentials. */
struct PeerCredentials {
    std::uint32_t pid, uid, gid;
};

/*
 * What the TLS handshake of a connection settled: see transom_tls_info. The views are valid as long
 * as the request.
 */
struct TlsInfo {
    std::string_view version, cipher;
    std::optional<std::string_view> server_name, alpn;
    bool resumed;
    /* The certificates of the client in DER, its own first. */
    std::vector<std::string_view> peer_certificates;
};

/*
 * A request. A Request is a pointer: copies are cheap, and none of them owns the request. It
 * and the views that it returns are valid until the handler has returned and the request has
 * been answered, whichever is later. Any thread may read it.
 */
class Request {
public:
    explicit Request(const transom_request *request) noexcept : request_(request) {}

    /* Returns the method, such as "GET". */
    [[nodiscard]] std::string_view method() const noexcept { return detail::view(transom_request_method(request_)); }

    /* Returns the path without the query, percent-encoded. */
    [[nodiscard]] std::string_view path() const noexcept { return detail::view(transom_request_path(request_)); }

    /* Returns the query, percent-encoded. Empty if there is none: see target. */
    [[nodiscard]] std::string_view query() const noexcept { return detail::view(transom_request_query(request_)); }

    /* Returns the whole request target, percent-encoded. */
    [[nodiscard]] std::string_view target() const noexcept { return detail::view(transom_request_target(request_)); }

    /* Returns the version of HTTP: 10 or 11. */
    [[nodiscard]] int version() const noexcept { return transom_request_version(request_); }

    /* Returns "https" or "http", as a trusted proxy or the connection tells it. */
    [[nodiscard]] std::string_view scheme() const noexcept { return detail::view(transom_request_scheme(request_)); }

    /* Returns what the TLS handshake of the connection settled, or nothing if it has no TLS. */
    [[nodiscard]] std::optional<TlsInfo> tls() const
    {
        transom_tls_info info{};
        info.size = sizeof info;
        if (!transom_request_tls(request_, &info))
            return std::nullopt;
        std::vector<std::string_view> certificates;
        for (std::size_t index = 0; index < info.peer_certificates; ++index)
            certificates.push_back(detail::view(transom_request_tls_peer_certificate(request_, index)));
        return TlsInfo{detail::view(info.version),
                       detail::view(info.cipher),
                       detail::maybe(info.server_name),
                       detail::maybe(info.alpn),
                       info.resumed != 0,
                       std::move(certificates)};
    }

    /* Returns the host that the client addressed; empty if an HTTP/1.0 client named none. */
    [[nodiscard]] std::string_view host() const noexcept { return detail::view(transom_request_host(request_)); }

    /* Returns the other end of the connection: a trusted proxy, or the client itself. */
    [[nodiscard]] std::string_view connection_peer() const noexcept
    {
        return detail::view(transom_request_connection_peer(request_));
    }

    /* Returns the address of the client: "127.0.0.1:1234", or "unix". */
    [[nodiscard]] std::string_view peer() const noexcept { return detail::view(transom_request_peer(request_)); }

    /* Returns the address at which the connection came in; empty once it has ended. */
    [[nodiscard]] std::string_view local_address() const noexcept
    {
        return detail::view(transom_request_local_address(request_));
    }

    /* Returns the process at the other end of a Unix socket, or nothing if it is not known. */
    [[nodiscard]] std::optional<PeerCredentials> peer_credentials() const noexcept
    {
        PeerCredentials peer{};
        if (!transom_request_peer_credentials(request_, &peer.pid, &peer.uid, &peer.gid))
            return std::nullopt;
        return peer;
    }

    /*
     * Returns the part of the path that {name} in the pattern of the route matched,
     * percent-decoded.
     *
     * Errors: TRANSOM_OUT_OF_RANGE if the pattern has no such name.
     */
    [[nodiscard]] std::string_view param(std::string_view name) const
    {
        const transom_bytes value = transom_request_param(request_, detail::CText(name));
        if (value.data == nullptr)
            throw Error(TRANSOM_OUT_OF_RANGE, "the pattern of the route has no {" + std::string(name) + "}");
        return detail::view(value);
    }

    /* Returns all parameters, in the order of the pattern. */
    [[nodiscard]] Items<transom_request> params() const noexcept
    {
        return {request_, &transom_request_param_count, &transom_request_param_at};
    }

    /* Returns the value of the first header field with this name, whose case does not matter. */
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const
    {
        return detail::maybe(transom_request_header(request_, detail::CText(name)));
    }

    /* Returns all header fields, in the order received. */
    [[nodiscard]] Items<transom_request> headers() const noexcept
    {
        return {request_, &transom_request_header_count, &transom_request_header_at};
    }

    /* Returns all header fields as "name: value" lines that each end in CR LF. */
    [[nodiscard]] std::string_view raw_headers() const noexcept
    {
        return detail::view(transom_request_raw_headers(request_));
    }

    /* Returns the value of the first cookie with this name. */
    [[nodiscard]] std::optional<std::string_view> cookie(std::string_view name) const
    {
        return detail::maybe(transom_request_cookie(request_, detail::CText(name)));
    }

    /* Returns the value of a cookie that one of the keys has signed: see SigningKeys. */
    [[nodiscard]] std::optional<std::string_view> signed_cookie(std::string_view name, const SigningKeys &keys) const
    {
        return detail::maybe(transom_request_signed_cookie(request_, detail::CText(name), keys.handle()));
    }

    /*
     * Returns a value of the query, decoded: "1" for "x" in "/path?x=1&y". `index` counts from 0
     * among the values with this name.
     */
    [[nodiscard]] std::optional<std::string_view> query_value(std::string_view name, std::size_t index = 0) const
    {
        return detail::maybe(transom_request_query_value(request_, detail::CText(name), index));
    }

    /* Returns all names and values of the query, decoded. */
    [[nodiscard]] std::vector<Field> query_fields() const { return all(&transom_request_query_fields); }

    /* Returns the whole body, without the framing of chunks. Empty if the route streams: see read. */
    [[nodiscard]] std::string_view body() const noexcept { return detail::view(transom_request_body(request_)); }

    /* Returns a value of the form that the body is. Otherwise as query_value. */
    [[nodiscard]] std::optional<std::string_view> form_value(std::string_view name, std::size_t index = 0) const
    {
        return detail::maybe(transom_request_form_value(request_, detail::CText(name), index));
    }

    /*
     * Returns all names and values of the form that the body is, decoded.
     *
     * Errors: TRANSOM_INVALID_ARGUMENT if the body is no form, or the route streams.
     */
    [[nodiscard]] std::vector<Field> form_fields() const { return all(&transom_request_form_fields); }

    /*
     * Reads the body piece by piece: stores up to `capacity` bytes in `buffer`, and returns
     * their number. 0 is the end of the body. Waits until there is something. The body of a
     * route that streams (Route::streaming) comes while it is read; any other is in memory.
     *
     * Errors: BodyError with TRANSOM_GONE if the client has left, TRANSOM_TOO_SLOW,
     * TRANSOM_BODY_TOO_LARGE, TRANSOM_BAD_BODY or TRANSOM_NO_MEMORY, after which a response can
     * still be sent. Error with TRANSOM_WOULD_DEADLOCK on a thread that must not wait.
     */
    std::size_t read(void *buffer, std::size_t capacity) const
    {
        std::size_t length = 0;
        detail::check(read(buffer, capacity, length, forever));
        return length;
    }

    /*
     * The same, but waits for `timeout` at most, and stores the number of bytes in `length`.
     * Returns TRANSOM_OK, or, if nothing has come, TRANSOM_TIMEOUT (TRANSOM_WOULD_BLOCK if
     * `timeout` is 0). on_readable tells when there is more.
     */
    [[nodiscard]] transom_status read(void *buffer, std::size_t capacity, std::size_t &length,
                                      Milliseconds timeout) const
    {
        const transom_status status = transom_request_read(request_, buffer, capacity, timeout.count(), &length);
        if (status == TRANSOM_GONE || status == TRANSOM_TOO_SLOW || status == TRANSOM_BODY_TOO_LARGE ||
            status == TRANSOM_BAD_BODY || status == TRANSOM_NO_MEMORY)
            throw BodyError(status);
        if (status != TRANSOM_TIMEOUT && status != TRANSOM_WOULD_BLOCK)
            detail::check(status);
        return status;
    }

    /*
     * Calls `function()` once, when there is more of the body to read, or its end, perhaps
     * before this returns. It runs on a thread that serves connections and must not block. It is
     * not called if the request is no longer valid.
     *
     * Errors: TRANSOM_INVALID_ARGUMENT if the route does not stream.
     */
    template <class F> void on_readable(F &&function) const
    {
        detail::check(detail::register_once(std::forward<F>(function), [this](auto call, void *user_data, auto free) {
            return transom_request_on_readable(request_, call, user_data, free);
        }));
    }

    /* Returns the first trailer field with this name, once the body was read to its end. */
    [[nodiscard]] std::optional<std::string_view> trailer(std::string_view name) const
    {
        return detail::maybe(transom_request_trailer(request_, detail::CText(name)));
    }

    /* Returns all trailer fields, once the body was read to its end. */
    [[nodiscard]] Items<transom_request> trailers() const noexcept
    {
        return {request_, &count_trailers, &transom_request_trailer_at};
    }

    /*
     * Returns the value that a before function gave the request by set_value, or nullptr if it
     * gave none or one of another type. It must not be used if transom_request_set_value gave
     * the value.
     */
    template <class T> [[nodiscard]] const T *value() const noexcept
    {
        const auto *found = static_cast<const detail::AnyValue *>(transom_request_value(request_));
        const bool is_it = found != nullptr && found->tag == &detail::type_tag<T>;
        return is_it ? &static_cast<const detail::Value<T> *>(found)->value : nullptr;
    }

    /* Returns true once the server was told to stop. */
    [[nodiscard]] bool is_stopping() const noexcept { return transom_request_is_stopping(request_); }

    /* Returns the request for functions of transom.h. */
    [[nodiscard]] const transom_request *handle() const noexcept { return request_; }

private:
    static std::size_t count_trailers(const transom_request *request)
    {
        return transom_request_trailers(request, nullptr, 0);
    }

    /* Returns the fields that a function of C stores. */
    template <class Store> [[nodiscard]] std::vector<Field> all(Store store) const
    {
        std::size_t count = 0;
        detail::check(store(request_, nullptr, 0, &count));
        std::vector<transom_field> fields(count);
        detail::check(store(request_, fields.data(), fields.size(), &count));
        return {fields.begin(), fields.end()};
    }

    const transom_request *request_;
};

/* A request in a before function, which may give it a value: see Server::wrap. */
class IncomingRequest : public Request {
public:
    explicit IncomingRequest(transom_request *request) noexcept : Request(request), incoming_(request) {}

    /*
     * Moves a value into the request, such as the user who asks. The handler gets it by
     * value<T>(). It is destroyed when the request has been answered, or replaced by a second
     * call.
     */
    template <class T> void set_value(T value)
    {
        detail::AnyValue *kept = std::make_unique<detail::Value<T>>(std::move(value)).release();
        detail::check(transom_request_set_value(incoming_, kept, &detail::destroy<detail::AnyValue>));
    }

private:
    transom_request *incoming_;
};

/* ---- Multipart: a form, part by part ------------------------------------------------- */

/*
 * Reads the body of a request as a multipart form: in memory, or while it comes. To be used no longer
 * than the request is valid.
 *
 *     transom::Multipart form(request);
 *     while (const auto part = form.next())
 *         if (part->filename)
 *             form.save("/srv/uploads/new");
 */
class Multipart {
public:
    /* What is known of a part. The texts are valid until the next call of next. */
    struct Part {
        std::string_view name;
        /* Without folders and control characters. Nothing for a field. */
        std::optional<std::string_view> filename;
        std::optional<std::string_view> content_type;
    };

    /*
     * Begins to read.
     *
     * Errors: TRANSOM_INVALID_ARGUMENT if the body is no multipart form; TRANSOM_BAD_BODY if its
     * Content-Type has no boundary.
     */
    explicit Multipart(const Request &request) { detail::check(transom_multipart_new(request.handle(), &form_)); }

    Multipart(Multipart &&other) noexcept : form_(std::exchange(other.form_, nullptr)) {}
    Multipart &operator=(Multipart &&other) noexcept
    {
        std::swap(form_, other.form_);
        return *this;
    }
    ~Multipart() { transom_multipart_free(form_); }

    /* Sets a limit by its name: see transom_multipart_set_limit. */
    Multipart &limit(std::string_view name, std::uint64_t value)
    {
        detail::check(transom_multipart_set_limit(form_, detail::CText(name), value));
        return *this;
    }

    /*
     * Returns the next part, or nothing after the last one. What was not read of the part before is
     * dropped.
     *
     * Errors: BodyError, whose text says what is wrong with the form; Error with TRANSOM_TIMEOUT.
     */
    [[nodiscard]] std::optional<Part> next(Milliseconds timeout = forever)
    {
        transom_part part{};
        check(transom_multipart_next(form_, timeout.count(), &part));
        if (part.name.data == nullptr)
            return std::nullopt;
        return Part{detail::view(part.name), detail::maybe(part.filename), detail::maybe(part.content_type)};
    }

    /* Reads the content of the part: returns the number of bytes, 0 at its end. Errors as next. */
    std::size_t read(void *buffer, std::size_t capacity, Milliseconds timeout = forever)
    {
        std::size_t length = 0;
        check(transom_multipart_read(form_, buffer, capacity, timeout.count(), &length));
        return length;
    }

    /* Writes the rest of the part to a file, and returns its length: see transom_multipart_save. */
    std::uint64_t save(std::string_view path)
    {
        std::uint64_t length = 0;
        check(transom_multipart_save(form_, detail::CText(path), &length));
        return length;
    }

private:
    /* Throws the error, with the sentence about the form. */
    void check(transom_status status) const
    {
        if (status == TRANSOM_OK)
            return;
        const transom_bytes said = transom_multipart_error(form_);
        const std::string text(said.data == nullptr ? transom_status_text(status) : std::string(detail::view(said)));
        if (status == TRANSOM_BODY_TOO_LARGE || status == TRANSOM_BAD_BODY || status == TRANSOM_GONE ||
            status == TRANSOM_TOO_SLOW || status == TRANSOM_NO_MEMORY)
            throw BodyError(status, text);
        throw Error(status, text);
    }

    transom_multipart *form_ = nullptr;
};

/* ---- Writer: a body that is written piece by piece ----------------------------------- */

/*
 * Writes the body of a response that Responder::start has begun. End it with finish. If it is
 * destroyed before, the response is cut off, so that the client does not take a part for the
 * whole. One that is empty (moved from, finished, or of a client that had left at the start)
 * behaves as that of a client that has left. Any thread may use it, one at a time.
 */
class Writer {
public:
    /* Makes an empty writer. */
    Writer() = default;

    /* Takes a writer of C, which may be NULL, and owns it from now on. */
    explicit Writer(transom_writer *writer) noexcept : writer_(writer) {}

    Writer(Writer &&other) noexcept : writer_(other.release()) {}
    Writer &operator=(Writer &&other) noexcept
    {
        if (this != &other)
            transom_writer_free(std::exchange(writer_, other.release()));
        return *this;
    }
    Writer(const Writer &) = delete;
    Writer &operator=(const Writer &) = delete;

    /* Cuts the response off, unless it is finished. */
    ~Writer() { transom_writer_free(writer_); }

    /* Returns false if the writer is empty. */
    [[nodiscard]] explicit operator bool() const noexcept { return writer_ != nullptr; }

    /*
     * Writes bytes to the body, which are copied. Waits for room while the client reads more
     * slowly than you write. Returns false if nobody reads the body any more.
     *
     * Errors: TRANSOM_WOULD_DEADLOCK if this would have to wait on a thread that must not (see
     * transom_writer_write); TRANSOM_BODY_TOO_LONG; TRANSOM_NO_MEMORY. None of the bytes are
     * sent then.
     */
    bool write(std::string_view bytes) { return write(bytes, forever) == TRANSOM_OK; }

    /*
     * The same, but waits for `timeout` at most. Returns TRANSOM_OK, TRANSOM_GONE, or, if there
     * is no room, TRANSOM_TIMEOUT (TRANSOM_WOULD_BLOCK if `timeout` is 0). None of the bytes
     * are sent unless it returns TRANSOM_OK.
     */
    [[nodiscard]] transom_status write(std::string_view bytes, Milliseconds timeout)
    {
        if (writer_ == nullptr)
            return TRANSOM_GONE;
        const transom_status status = transom_writer_write(writer_, bytes.data(), bytes.size(), timeout.count());
        if (status != TRANSOM_GONE && status != TRANSOM_TIMEOUT && status != TRANSOM_WOULD_BLOCK)
            detail::check(status);
        return status;
    }

    /* The same, and does not wait. on_writable tells when there is room again. */
    [[nodiscard]] transom_status try_write(std::string_view bytes) { return write(bytes, Milliseconds(0)); }

    /*
     * Writes as try_write does, and leaves it to flush to have the bytes sent: see transom_writer_feed.
     * Returns TRANSOM_OK, TRANSOM_WOULD_BLOCK or TRANSOM_GONE.
     */
    [[nodiscard]] transom_status feed(std::string_view bytes)
    {
        if (writer_ == nullptr)
            return TRANSOM_GONE;
        const transom_status status = transom_writer_feed(writer_, bytes.data(), bytes.size());
        if (status != TRANSOM_GONE && status != TRANSOM_WOULD_BLOCK)
            detail::check(status);
        return status;
    }

    /* Has the bytes sent that were fed: see transom_writer_flush, which takes many writers. */
    void flush() const { detail::check(transom_writer_flush(&writer_, 1)); }

    /*
     * Ends the body after its last byte. Returns true if the library has the whole body to send,
     * false if the client has left or the response was cut off. The writer is empty then.
     *
     * Errors: TRANSOM_BODY_TOO_SHORT if less was written than the Content-Length says.
     */
    bool finish()
    {
        if (writer_ == nullptr)
            return false;
        const transom_status status = transom_writer_finish(release());
        if (status == TRANSOM_GONE)
            return false;
        detail::check(status);
        return true;
    }

    /*
     * The same, and sends trailer fields after the body: see transom_writer_finish_with. After
     * TRANSOM_BAD_HEADER, the writer can still be used.
     */
    bool finish_with(Fields trailers)
    {
        if (writer_ == nullptr)
            return false;
        detail::ErrorSlot error;
        const transom_status status = transom_writer_finish_with(writer_, trailers.data(), trailers.size(), error);
        if (status != TRANSOM_BAD_HEADER)
            static_cast<void>(release());
        if (status != TRANSOM_GONE)
            error.check(status);
        return status == TRANSOM_OK;
    }

    /* Returns true if nobody reads the body any more, and if the writer is empty. */
    [[nodiscard]] bool is_gone() const noexcept { return transom_writer_is_gone(writer_); }

    /*
     * Calls `function()` once, when there is room again after TRANSOM_WOULD_BLOCK or nobody
     * reads the body any more, perhaps before this returns. It runs on a thread that serves
     * connections and must not block. It is not called if the writer ends first.
     *
     * Errors: TRANSOM_ALREADY_ANSWERED if the writer is empty or has ended.
     */
    template <class F> void on_writable(F &&function)
    {
        detail::check(detail::register_once(std::forward<F>(function), [this](auto call, void *user_data, auto free) {
            return status(transom_writer_on_writable(writer_, call, user_data, free));
        }));
    }

    /* Calls `function()` once, when nobody reads the body any more. Otherwise as on_writable. */
    template <class F> void on_gone(F &&function)
    {
        detail::check(detail::register_once(std::forward<F>(function), [this](auto call, void *user_data, auto free) {
            return status(transom_writer_on_gone(writer_, call, user_data, free));
        }));
    }

    /* Returns true once the server was told to stop, and if the writer is empty. */
    [[nodiscard]] bool is_stopping() const noexcept { return transom_writer_is_stopping(writer_); }

    /*
     * Calls `function()` once, when the server begins to stop, on the thread that stops it,
     * perhaps before this returns. It must not block. It may finish the writer. It is not called
     * if the writer ends first.
     *
     * Errors: TRANSOM_ALREADY_ANSWERED if the writer is empty or has ended.
     */
    template <class F> void on_stopping(F &&function)
    {
        detail::check(detail::register_once(std::forward<F>(function), [this](auto call, void *user_data, auto free) {
            return status(transom_writer_on_stopping(writer_, call, user_data, free));
        }));
    }

    /* Returns the writer for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_writer *handle() const noexcept { return writer_; }

    /* Gives the writer up: it belongs to the caller. */
    [[nodiscard]] transom_writer *release() noexcept { return std::exchange(writer_, nullptr); }

private:
    [[nodiscard]] transom_status status(transom_status status) const noexcept
    {
        return writer_ == nullptr ? TRANSOM_ALREADY_ANSWERED : status;
    }

    transom_writer *writer_ = nullptr;
};

/* ---- Upgraded: a connection that has left HTTP --------------------------------------- */

/*
 * A connection that Responder::upgrade has taken out of HTTP: bytes both ways. It is closed when
 * this is destroyed, after what was written is sent. One that is empty behaves as a connection
 * that is gone. Any thread may use it, one to read and another to write.
 */
class Upgraded {
public:
    /* Makes an empty one. */
    Upgraded() = default;

    /* Takes a connection of C, which may be NULL, and owns it from now on. */
    explicit Upgraded(transom_upgraded *upgraded) noexcept : upgraded_(upgraded) {}

    Upgraded(Upgraded &&other) noexcept : upgraded_(other.release()) {}
    Upgraded &operator=(Upgraded &&other) noexcept
    {
        if (this != &other)
            transom_upgraded_free(std::exchange(upgraded_, other.release()));
        return *this;
    }
    Upgraded(const Upgraded &) = delete;
    Upgraded &operator=(const Upgraded &) = delete;
    ~Upgraded() { transom_upgraded_free(upgraded_); }

    /* Returns false if it is empty. */
    [[nodiscard]] explicit operator bool() const noexcept { return upgraded_ != nullptr; }

    /*
     * Reads what the client has sent: stores up to `capacity` bytes in `buffer`, and their number
     * in `length`. 0 bytes are the end: the client has closed its sending side. Waits for
     * `timeout` at most. Returns TRANSOM_OK, TRANSOM_GONE, or, if nothing has come,
     * TRANSOM_TIMEOUT (TRANSOM_WOULD_BLOCK if `timeout` is 0).
     *
     * Errors: TRANSOM_WOULD_DEADLOCK on a thread that must not wait.
     */
    [[nodiscard]] transom_status read(void *buffer, std::size_t capacity, std::size_t &length,
                                      Milliseconds timeout = forever)
    {
        length = 0;
        if (upgraded_ == nullptr)
            return TRANSOM_GONE;
        return checked(transom_upgraded_read(upgraded_, buffer, capacity, timeout.count(), &length));
    }

    /*
     * Writes bytes to the client, which are copied. Waits for room for `timeout` at most. Returns
     * as read; none of the bytes are sent unless it returns TRANSOM_OK.
     *
     * Errors: TRANSOM_WOULD_DEADLOCK; TRANSOM_NO_MEMORY.
     */
    [[nodiscard]] transom_status write(std::string_view bytes, Milliseconds timeout = forever)
    {
        if (upgraded_ == nullptr)
            return TRANSOM_GONE;
        return checked(transom_upgraded_write(upgraded_, bytes.data(), bytes.size(), timeout.count()));
    }

    /*
     * Calls `function()` once, when there is something to read, or the end, or the connection is
     * broken, perhaps before this returns. It runs on a thread that serves connections and must
     * not block. It is not called if the connection is closed first.
     *
     * Errors: TRANSOM_ALREADY_ANSWERED if this is empty.
     */
    template <class F> void on_readable(F &&function)
    {
        once(std::forward<F>(function), &transom_upgraded_on_readable);
    }

    /* Calls `function()` once, when there is room again after TRANSOM_WOULD_BLOCK. Otherwise as on_readable. */
    template <class F> void on_writable(F &&function)
    {
        once(std::forward<F>(function), &transom_upgraded_on_writable);
    }

    /* Returns true once the server was told to stop, and if this is empty. */
    [[nodiscard]] bool is_stopping() const noexcept { return transom_upgraded_is_stopping(upgraded_); }

    /* Calls `function()` once, when the server begins to stop, as Writer::on_stopping does. */
    template <class F> void on_stopping(F &&function)
    {
        once(std::forward<F>(function), &transom_upgraded_on_stopping);
    }

    /* Returns the connection for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_upgraded *handle() const noexcept { return upgraded_; }

    /* Gives the connection up: it belongs to the caller. */
    [[nodiscard]] transom_upgraded *release() noexcept { return std::exchange(upgraded_, nullptr); }

private:
    static transom_status checked(transom_status status)
    {
        if (status != TRANSOM_GONE && status != TRANSOM_TIMEOUT && status != TRANSOM_WOULD_BLOCK)
            detail::check(status);
        return status;
    }

    template <class F, class Register> void once(F &&function, Register registering)
    {
        detail::check(detail::register_once(std::forward<F>(function), [&](auto call, void *user_data, auto free) {
            const transom_status status = registering(upgraded_, call, user_data, free);
            return upgraded_ == nullptr ? TRANSOM_ALREADY_ANSWERED : status;
        }));
    }

    transom_upgraded *upgraded_ = nullptr;
};

/* ---- WebSocket: connections that send and receive messages ----------------------------- */

/*
 * The settings of WebSocket connections: see transom_websocket_upgrade. Made once, and used for each
 * handshake. Connections keep the settings that they began with.
 */
class WebSocketUpgrade {
public:
    WebSocketUpgrade() : upgrade_(detail::check(transom_websocket_upgrade_new())) {}
    WebSocketUpgrade(WebSocketUpgrade &&other) noexcept : upgrade_(std::exchange(other.upgrade_, nullptr)) {}
    WebSocketUpgrade &operator=(WebSocketUpgrade &&other) noexcept
    {
        std::swap(upgrade_, other.upgrade_);
        return *this;
    }
    ~WebSocketUpgrade() { transom_websocket_upgrade_free(upgrade_); }

    /* Limits the bytes of a message, decompressed; default 1 MiB. */
    WebSocketUpgrade &message_limit(std::int64_t bytes) { return set(TRANSOM_WEBSOCKET_MESSAGE_LIMIT, bytes); }

    /* Limits the bytes of a frame as it is sent; default 16 MiB. */
    WebSocketUpgrade &frame_limit(std::int64_t bytes) { return set(TRANSOM_WEBSOCKET_FRAME_LIMIT, bytes); }

    /* Sets the least rate of a message in bytes per second; default 500. */
    WebSocketUpgrade &message_rate(std::int64_t rate) { return set(TRANSOM_WEBSOCKET_MESSAGE_RATE, rate); }

    /* Sets how long a message may come more slowly than that; default 30 s, `forever` is no limit. */
    WebSocketUpgrade &message_timeout(Milliseconds time) { return set(TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS, time.count()); }

    /* Sets how many bytes may wait to be sent; default 256 KiB. */
    WebSocketUpgrade &queue_limit(std::int64_t bytes) { return set(TRANSOM_WEBSOCKET_QUEUE_LIMIT, bytes); }

    /* Sets whether messages are compressed if the client offers it; by default they are. */
    WebSocketUpgrade &compression(bool is_on) { return set(TRANSOM_WEBSOCKET_COMPRESSION, is_on); }

    /* Sets whether messages are compressed with what came before them; by default they are not. */
    WebSocketUpgrade &context_takeover(bool is_on) { return set(TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER, is_on); }

    /* Sets the least bytes of a message that is compressed; default 64. */
    WebSocketUpgrade &compress_from(std::int64_t bytes) { return set(TRANSOM_WEBSOCKET_COMPRESS_FROM, bytes); }

    /* Sets the silence of a client after which a Ping is sent; default 30 s, `forever` sends none. */
    WebSocketUpgrade &ping_interval(Milliseconds time) { return set(TRANSOM_WEBSOCKET_PING_INTERVAL_MS, time.count()); }

    /* Sets how long a client may be silent after a Ping; default 30 s. */
    WebSocketUpgrade &ping_timeout(Milliseconds time) { return set(TRANSOM_WEBSOCKET_PING_TIMEOUT_MS, time.count()); }

    /* Sets how long a client may take to answer a Close; default 5 s. */
    WebSocketUpgrade &close_timeout(Milliseconds time) { return set(TRANSOM_WEBSOCKET_CLOSE_TIMEOUT_MS, time.count()); }

    /* Sets whether messages are handed out in pieces, as they arrive; by default they are not. */
    WebSocketUpgrade &in_pieces(bool is_on) { return set(TRANSOM_WEBSOCKET_IN_PIECES, is_on); }

    /* Sets whether pages of all origins may connect; by default those of the own host may. */
    WebSocketUpgrade &any_origin(bool is_on) { return set(TRANSOM_WEBSOCKET_ANY_ORIGIN, is_on); }

    /* Adds a subprotocol that the server speaks: see transom_websocket_upgrade_add_subprotocol. */
    WebSocketUpgrade &subprotocol(std::string_view name)
    {
        detail::check(transom_websocket_upgrade_add_subprotocol(upgrade_, detail::CText(name)));
        return *this;
    }

    /* Adds an origin whose pages may connect: see transom_websocket_upgrade_add_origin. */
    WebSocketUpgrade &origin(std::string_view origin)
    {
        detail::check(transom_websocket_upgrade_add_origin(upgrade_, detail::CText(origin)));
        return *this;
    }

    /* Returns the settings for functions of transom.h. They still belong to this object. */
    [[nodiscard]] const transom_websocket_upgrade *handle() const noexcept { return upgrade_; }

private:
    WebSocketUpgrade &set(transom_websocket_setting setting, std::int64_t value)
    {
        detail::check(transom_websocket_upgrade_set(upgrade_, setting, value));
        return *this;
    }

    transom_websocket_upgrade *upgrade_;
};

/* A message of a WebSocket connection, or a piece of one, that was received. */
class WebSocketMessage {
public:
    /* Takes a message of C and owns it from now on. */
    explicit WebSocketMessage(transom_websocket_message *message) noexcept : message_(message) {}

    /* Returns the bytes, which are valid until this is destroyed. Those of a text are UTF-8. */
    [[nodiscard]] std::string_view data() const noexcept { return detail::view(message_->data); }

    /* Returns true for a text, false for bytes. */
    [[nodiscard]] bool is_text() const noexcept { return message_->kind == TRANSOM_WEBSOCKET_TEXT; }

    /* Returns true for the last piece of a message, and for a whole message. */
    [[nodiscard]] bool is_last() const noexcept { return message_->is_last; }

    /* Returns false once it was sent, or moved: nothing may be read of it. */
    [[nodiscard]] explicit operator bool() const noexcept { return message_ != nullptr; }

private:
    friend class WebSocket;

    struct Free {
        void operator()(transom_websocket_message *message) const noexcept { transom_websocket_message_free(message); }
    };

    std::unique_ptr<transom_websocket_message, Free> message_;
};

/*
 * A WebSocket connection that Responder::accept_websocket has made. It is closed in order (1000) when
 * this is destroyed, after the messages that wait. One that is empty behaves as a connection that is
 * closed. Any thread may use it, several at once.
 */
class WebSocket {
public:
    /* Makes an empty one. */
    WebSocket() = default;

    /* Takes a connection of C, which may be NULL, and owns it from now on. */
    explicit WebSocket(transom_websocket *websocket) noexcept : websocket_(websocket) {}

    WebSocket(WebSocket &&other) noexcept : websocket_(other.release()) {}
    WebSocket &operator=(WebSocket &&other) noexcept
    {
        if (this != &other)
            transom_websocket_free(std::exchange(websocket_, other.release()));
        return *this;
    }
    WebSocket(const WebSocket &) = delete;
    WebSocket &operator=(const WebSocket &) = delete;
    ~WebSocket() { transom_websocket_free(websocket_); }

    /* Returns false if it is empty. */
    [[nodiscard]] explicit operator bool() const noexcept { return websocket_ != nullptr; }

    /*
     * Receives the next message. Waits for one, for `timeout` at most. Returns nothing if the timeout
     * passes first, or nothing more comes: close_code() is not 0 then.
     *
     * Errors: TRANSOM_WOULD_DEADLOCK on a thread that must not wait.
     */
    [[nodiscard]] std::optional<WebSocketMessage> receive(Milliseconds timeout = forever)
    {
        transom_websocket_message *message = nullptr;
        if (websocket_ == nullptr)
            return std::nullopt;
        const transom_status status = checked(transom_websocket_receive(websocket_, timeout.count(), &message));
        return status == TRANSOM_OK ? std::optional<WebSocketMessage>(message) : std::nullopt;
    }

    /*
     * The same, but copies the bytes to `buffer`, which has room for `capacity` of them, and stores their
     * number: see transom_websocket_receive_into. Returns TRANSOM_OK, TRANSOM_GONE if nothing more comes,
     * TRANSOM_TIMEOUT (TRANSOM_WOULD_BLOCK if `timeout` is 0), or TRANSOM_BUFFER_TOO_SMALL.
     */
    [[nodiscard]] transom_status receive_into(void *buffer, std::size_t capacity, std::size_t &length, bool &is_text,
                                              bool &is_last, Milliseconds timeout = forever)
    {
        std::int32_t kind = 0;
        length = 0;
        if (websocket_ == nullptr)
            return TRANSOM_GONE;
        const transom_status status = checked(transom_websocket_receive_into(
            websocket_, buffer, capacity, timeout.count(), &kind, &is_last, &length));
        is_text = kind == TRANSOM_WEBSOCKET_TEXT;
        return status;
    }

    /*
     * Sends a text, which must be UTF-8, and is copied. Waits for room for `timeout` at most. Returns
     * TRANSOM_OK, TRANSOM_GONE if the connection closes, or, if there is no room, TRANSOM_TIMEOUT
     * (TRANSOM_WOULD_BLOCK if `timeout` is 0).
     *
     * Errors: TRANSOM_NOT_UTF8; TRANSOM_WOULD_DEADLOCK; TRANSOM_NO_MEMORY.
     */
    [[nodiscard]] transom_status send_text(std::string_view text, Milliseconds timeout = forever)
    {
        return send(TRANSOM_WEBSOCKET_TEXT, text, timeout);
    }

    /* Sends bytes; otherwise as send_text. */
    [[nodiscard]] transom_status send_binary(std::string_view bytes, Milliseconds timeout = forever)
    {
        return send(TRANSOM_WEBSOCKET_BINARY, bytes, timeout);
    }

    /*
     * Sends a piece of a text; `is_last` ends the message: see transom_websocket_send_piece. Otherwise as
     * send_text.
     *
     * Errors: TRANSOM_INVALID_ARGUMENT also if the message is one of bytes.
     */
    [[nodiscard]] transom_status send_text_piece(std::string_view text, bool is_last, Milliseconds timeout = forever)
    {
        return send_piece(TRANSOM_WEBSOCKET_TEXT, text, is_last, timeout);
    }

    /* Sends a piece of a message of bytes; otherwise as send_text_piece. */
    [[nodiscard]] transom_status send_binary_piece(std::string_view bytes, bool is_last, Milliseconds timeout = forever)
    {
        return send_piece(TRANSOM_WEBSOCKET_BINARY, bytes, is_last, timeout);
    }

    /* Sends what was received; otherwise as send_text. */
    [[nodiscard]] transom_status send(const WebSocketMessage &message, Milliseconds timeout = forever)
    {
        return send(kind_of(message), message.data(), timeout);
    }

    /*
     * Sends what was received without a copy: see transom_websocket_send_message. After TRANSOM_OK and
     * TRANSOM_GONE, the message is empty; otherwise it is as it was.
     */
    [[nodiscard]] transom_status send(WebSocketMessage &&message, Milliseconds timeout = forever)
    {
        if (websocket_ == nullptr)
            return TRANSOM_GONE;
        transom_websocket_message *given = message.message_.release();
        const transom_status status = transom_websocket_send_message(websocket_, &given, timeout.count());
        message.message_.reset(given);
        return checked(status);
    }

    /*
     * Queues a text, which is copied, and leaves it to flush to have it written: see transom_websocket_feed.
     * Returns TRANSOM_OK, TRANSOM_WOULD_BLOCK or TRANSOM_GONE.
     *
     * Errors: TRANSOM_NOT_UTF8; TRANSOM_NO_MEMORY.
     */
    [[nodiscard]] transom_status feed_text(std::string_view text) { return feed(TRANSOM_WEBSOCKET_TEXT, text); }

    /* Queues bytes; otherwise as feed_text. */
    [[nodiscard]] transom_status feed_binary(std::string_view bytes) { return feed(TRANSOM_WEBSOCKET_BINARY, bytes); }

    /* Has the messages written that were queued: see transom_websocket_flush, which takes many connections. */
    void flush() const { detail::check(transom_websocket_flush(&websocket_, 1)); }

    /* Sends a Ping: see transom_websocket_ping. */
    void ping(std::string_view payload = {})
    {
        if (websocket_ != nullptr)
            detail::check(transom_websocket_ping(websocket_, payload.data(), payload.size()));
    }

    /* Begins to close the connection: see transom_websocket_close. Errors: TRANSOM_INVALID_ARGUMENT. */
    void close(std::uint16_t code = 1000, std::string_view reason = {})
    {
        if (websocket_ != nullptr)
            detail::check(transom_websocket_close(websocket_, code, detail::CText(reason)));
    }

    /* Returns the code with which the connection ended, 0 while messages may come and if this is empty. */
    [[nodiscard]] std::uint16_t close_code() const noexcept { return transom_websocket_close_code(websocket_); }

    /* Returns the reason that came with the code. */
    [[nodiscard]] std::string close_reason() const { return text(&transom_websocket_close_reason); }

    /* Returns true once nothing can be sent any more, and if this is empty. */
    [[nodiscard]] bool is_closed() const noexcept { return transom_websocket_is_closed(websocket_); }

    /* Returns how many bytes wait to be sent. */
    [[nodiscard]] std::size_t queued() const noexcept { return transom_websocket_queued(websocket_); }

    /* Returns true if messages are compressed. */
    [[nodiscard]] bool is_compressed() const noexcept { return transom_websocket_is_compressed(websocket_); }

    /* Returns the subprotocol that was chosen, or "". */
    [[nodiscard]] std::string subprotocol() const { return text(&transom_websocket_subprotocol); }

    /*
     * Calls `function()` once, when there is a message to receive, or nothing more comes, perhaps before
     * this returns. It runs on a thread that serves connections and must not block. It is not called if
     * the connection is destroyed first.
     *
     * Errors: TRANSOM_ALREADY_ANSWERED if this is empty.
     */
    template <class F> void on_message(F &&function)
    {
        once(std::forward<F>(function), &transom_websocket_on_message);
    }

    /* Calls `function()` once, when there is room again after TRANSOM_WOULD_BLOCK. Otherwise as on_message. */
    template <class F> void on_writable(F &&function)
    {
        once(std::forward<F>(function), &transom_websocket_on_writable);
    }

    /* Calls `function()` once, when the connection has ended. Otherwise as on_message. */
    template <class F> void on_closed(F &&function)
    {
        once(std::forward<F>(function), &transom_websocket_on_closed);
    }

    /* Returns the connection for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_websocket *handle() const noexcept { return websocket_; }

    /* Gives the connection up: it belongs to the caller. */
    [[nodiscard]] transom_websocket *release() noexcept { return std::exchange(websocket_, nullptr); }

private:
    static transom_status checked(transom_status status)
    {
        if (status != TRANSOM_GONE && status != TRANSOM_TIMEOUT && status != TRANSOM_WOULD_BLOCK &&
            status != TRANSOM_BUFFER_TOO_SMALL)
            detail::check(status);
        return status;
    }

    transom_status send(transom_websocket_kind kind, std::string_view bytes, Milliseconds timeout)
    {
        if (websocket_ == nullptr)
            return TRANSOM_GONE;
        return checked(transom_websocket_send(websocket_, kind, bytes.data(), bytes.size(), timeout.count()));
    }

    static transom_websocket_kind kind_of(const WebSocketMessage &message) noexcept
    {
        return message.is_text() ? TRANSOM_WEBSOCKET_TEXT : TRANSOM_WEBSOCKET_BINARY;
    }

    transom_status feed(transom_websocket_kind kind, std::string_view bytes)
    {
        if (websocket_ == nullptr)
            return TRANSOM_GONE;
        return checked(transom_websocket_feed(websocket_, kind, bytes.data(), bytes.size()));
    }

    transom_status send_piece(transom_websocket_kind kind, std::string_view bytes, bool is_last, Milliseconds timeout)
    {
        if (websocket_ == nullptr)
            return TRANSOM_GONE;
        return checked(
            transom_websocket_send_piece(websocket_, kind, bytes.data(), bytes.size(), is_last, timeout.count()));
    }

    [[nodiscard]] std::string text(std::size_t (*print)(const transom_websocket *, char *, std::size_t)) const
    {
        char buffer[256];
        const std::size_t length = print(websocket_, buffer, sizeof buffer);
        if (length < sizeof buffer)
            return {buffer, length};
        std::string text(length, '\0');
        print(websocket_, text.data(), text.size() + 1);
        return text;
    }

    template <class F, class Register> void once(F &&function, Register registering)
    {
        detail::check(detail::register_once(std::forward<F>(function), [&](auto call, void *user_data, auto free) {
            const transom_status status = registering(websocket_, call, user_data, free);
            return websocket_ == nullptr ? TRANSOM_ALREADY_ANSWERED : status;
        }));
    }

    transom_websocket *websocket_ = nullptr;
};

/* Sends messages to many WebSocket connections, each encoded once: see transom_broadcast. */
class Broadcast {
public:
    /* Makes a broadcast without members; `slow` says what happens to those that read too slowly. */
    explicit Broadcast(transom_slow_reader slow = TRANSOM_SLOW_READER_DROP)
    {
        detail::check(transom_broadcast_new(slow, &broadcast_));
    }
    Broadcast(Broadcast &&other) noexcept : broadcast_(std::exchange(other.broadcast_, nullptr)) {}
    Broadcast &operator=(Broadcast &&other) noexcept
    {
        std::swap(broadcast_, other.broadcast_);
        return *this;
    }
    ~Broadcast() { transom_broadcast_free(broadcast_); }

    /* Adds a connection, which must be kept as long as it shall be open. */
    void add(const WebSocket &websocket) { detail::check(transom_broadcast_add(broadcast_, websocket.handle())); }

    /* Removes a connection, if it is a member. */
    void remove(const WebSocket &websocket) { detail::check(transom_broadcast_remove(broadcast_, websocket.handle())); }

    /* Sends a text to all members, and returns how many take it. Errors: TRANSOM_NOT_UTF8. */
    std::size_t send_text(std::string_view text) { return send(TRANSOM_WEBSOCKET_TEXT, text); }

    /* Sends bytes to all members, and returns how many take them. */
    std::size_t send_binary(std::string_view bytes) { return send(TRANSOM_WEBSOCKET_BINARY, bytes); }

    /* Returns the number of members whose connections are open. */
    [[nodiscard]] std::size_t count() const noexcept { return transom_broadcast_count(broadcast_); }

private:
    std::size_t send(transom_websocket_kind kind, std::string_view bytes)
    {
        std::size_t reached = 0;
        detail::check(transom_broadcast_send(broadcast_, kind, bytes.data(), bytes.size(), &reached));
        return reached;
    }

    transom_broadcast *broadcast_ = nullptr;
};

/* ---- Server-sent events --------------------------------------------------------------- */

/*
 * A server-sent event: `ServerSentEvent event{"news"}`, and then `event.id = "7"`. It owns no text. Without
 * data, the client tells its page nothing.
 */
struct ServerSentEvent {
    ServerSentEvent() = default;
    ServerSentEvent(std::string_view text) noexcept : data(text) {}
    ServerSentEvent(const char *text) noexcept : data(text) {}
    ServerSentEvent(const std::string &text) noexcept : data(text) {}

    std::optional<std::string_view> data, event, id;
    /* How long the client waits before it connects again; 0 leaves it as it is. */
    Milliseconds retry{0};

    /* Returns the event for functions of transom.h. */
    [[nodiscard]] transom_sse_event handle() const noexcept
    {
        return {detail::bytes(data), detail::bytes(event), detail::bytes(id), retry.count()};
    }
};

/* The settings of a response that sends events: see transom_sse_settings. */
struct SseSettings {
    /* The time without an event after which a comment is sent; `forever` turns comments off. */
    Milliseconds keep_alive{15000};
    /* The bytes that may wait to be sent. */
    std::size_t queue_limit = 256 * 1024;
    /* An event that is sent last when the server begins to stop. */
    std::optional<ServerSentEvent> at_stop = std::nullopt;
};

namespace detail {

/* The settings as C has them, with the event that they point to. */
class CSseSettings {
public:
    explicit CSseSettings(const SseSettings &settings) noexcept
        : last_(settings.at_stop ? settings.at_stop->handle() : transom_sse_event{}),
          settings_{settings.keep_alive.count(), settings.queue_limit, settings.at_stop ? &last_ : nullptr}
    {
    }
    CSseSettings(const CSseSettings &) = delete;
    CSseSettings &operator=(const CSseSettings &) = delete;

    operator const transom_sse_settings *() const noexcept { return &settings_; }

private:
    transom_sse_event last_;
    transom_sse_settings settings_;
};

} // namespace detail

/*
 * Sends server-sent events to one client; Responder::start_sse makes it. The response ends in order when
 * this is destroyed. One that is empty behaves as one whose client is gone. Any thread may use it.
 */
class SseSender {
public:
    /* Makes an empty one. */
    SseSender() = default;

    /* Takes a sender of C, which may be NULL, and owns it from now on. */
    explicit SseSender(transom_sse *sse) noexcept : sse_(sse) {}

    SseSender(SseSender &&other) noexcept : sse_(other.release()) {}
    SseSender &operator=(SseSender &&other) noexcept
    {
        if (this != &other)
            transom_sse_free(std::exchange(sse_, other.release()));
        return *this;
    }
    SseSender(const SseSender &) = delete;
    SseSender &operator=(const SseSender &) = delete;
    ~SseSender() { transom_sse_free(sse_); }

    /* Returns false if it is empty. */
    [[nodiscard]] explicit operator bool() const noexcept { return sse_ != nullptr; }

    /*
     * Sends an event. Waits for room for `timeout` at most. Returns TRANSOM_OK, TRANSOM_GONE, or, if there
     * is no room, TRANSOM_TIMEOUT (TRANSOM_WOULD_BLOCK if `timeout` is 0).
     *
     * Errors: TRANSOM_INVALID_ARGUMENT and TRANSOM_NOT_UTF8 if the event cannot be sent;
     * TRANSOM_WOULD_DEADLOCK on a thread that must not wait.
     */
    [[nodiscard]] transom_status send(const ServerSentEvent &event, Milliseconds timeout = forever)
    {
        if (sse_ == nullptr)
            return TRANSOM_GONE;
        const transom_sse_event passed = event.handle();
        const transom_status status = transom_sse_send(sse_, &passed, timeout.count());
        if (status != TRANSOM_GONE && status != TRANSOM_TIMEOUT && status != TRANSOM_WOULD_BLOCK)
            detail::check(status);
        return status;
    }

    /* Returns true if no event would be sent any more, and if this is empty. */
    [[nodiscard]] bool is_gone() const noexcept { return transom_sse_is_gone(sse_); }

    /* Returns how many bytes wait to be sent. */
    [[nodiscard]] std::size_t queued() const noexcept { return transom_sse_queued(sse_); }

    /*
     * Calls `function()` once, when there is room again after TRANSOM_WOULD_BLOCK, or when no event would be
     * sent any more, perhaps before this returns. It must not block, and is not called if the sender is
     * destroyed first.
     *
     * Errors: TRANSOM_ALREADY_ANSWERED if this is empty.
     */
    template <class F> void on_writable(F &&function)
    {
        once(std::forward<F>(function), &transom_sse_on_writable);
    }

    /* Calls `function()` once, when no event would be sent any more. Otherwise as on_writable. */
    template <class F> void on_gone(F &&function) { once(std::forward<F>(function), &transom_sse_on_gone); }

    /* Returns the sender for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_sse *handle() const noexcept { return sse_; }

    /* Gives the sender up: it belongs to the caller. */
    [[nodiscard]] transom_sse *release() noexcept { return std::exchange(sse_, nullptr); }

private:
    template <class F, class Register> void once(F &&function, Register registering)
    {
        detail::check(detail::register_once(std::forward<F>(function), [&](auto call, void *user_data, auto free) {
            const transom_status status = registering(sse_, call, user_data, free);
            return sse_ == nullptr ? TRANSOM_ALREADY_ANSWERED : status;
        }));
    }

    transom_sse *sse_ = nullptr;
};

/*
 * Sends the same events to many clients, and encodes each once; Responder::subscribe adds a client. Its
 * responses end in order when this is destroyed. Any thread may use it.
 */
class SseBroadcast {
public:
    /* Makes a broadcast that keeps the last `history` events for clients that connect again. */
    explicit SseBroadcast(transom_slow_reader slow = TRANSOM_SLOW_READER_DROP, std::size_t history = 0)
    {
        detail::check(transom_sse_broadcast_new(static_cast<std::int32_t>(slow), history, &broadcast_));
    }
    SseBroadcast(const SseBroadcast &) = delete;
    SseBroadcast &operator=(const SseBroadcast &) = delete;
    ~SseBroadcast() { transom_sse_broadcast_free(broadcast_); }

    /*
     * Sends an event to all clients, and returns how many get it. Waits for none.
     *
     * Errors: TRANSOM_INVALID_ARGUMENT and TRANSOM_NOT_UTF8 if the event cannot be sent.
     */
    std::size_t send(const ServerSentEvent &event)
    {
        const transom_sse_event passed = event.handle();
        std::size_t reached = 0;
        detail::check(transom_sse_broadcast_send(broadcast_, &passed, &reached));
        return reached;
    }

    /* Returns the number of clients that get events. */
    [[nodiscard]] std::size_t count() const noexcept { return transom_sse_broadcast_count(broadcast_); }

    /* Ends the responses in order. Later requests may subscribe. */
    void close() { detail::check(transom_sse_broadcast_close(broadcast_)); }

    /* Returns the broadcast for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_sse_broadcast *handle() const noexcept { return broadcast_; }

private:
    transom_sse_broadcast *broadcast_ = nullptr;
};

/* ---- Client: a connection in memory, for tests ---------------------------------------- */

/*
 * A client of a server in the same process, that Server::connect has made: a connection that is bytes
 * in memory, without a socket. It breaks off when this is destroyed. One that is empty behaves as a
 * connection that is gone. Any thread may use it, one to read and another to write.
 */
class Client {
public:
    /* Makes an empty one. */
    Client() = default;

    /* Takes a client of C, which may be NULL, and owns it from now on. */
    explicit Client(transom_client *client) noexcept : client_(client) {}

    Client(Client &&other) noexcept : client_(other.release()) {}
    Client &operator=(Client &&other) noexcept
    {
        if (this != &other)
            transom_client_free(std::exchange(client_, other.release()));
        return *this;
    }
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;
    ~Client() { transom_client_free(client_); }

    /* Returns false if it is empty. */
    [[nodiscard]] explicit operator bool() const noexcept { return client_ != nullptr; }

    /*
     * Reads what the server has sent, as Upgraded::read does; 0 bytes are the end. Returns TRANSOM_GONE
     * if the server has reset the connection.
     *
     * Errors: TRANSOM_WOULD_DEADLOCK on a thread that must not wait.
     */
    [[nodiscard]] transom_status read(void *buffer, std::size_t capacity, std::size_t &length,
                                      Milliseconds timeout = forever)
    {
        length = 0;
        if (client_ == nullptr)
            return TRANSOM_GONE;
        return checked(transom_client_read(client_, buffer, capacity, timeout.count(), &length));
    }

    /*
     * Writes bytes to the server, as Upgraded::write does. Returns TRANSOM_GONE also after finish.
     *
     * Errors: TRANSOM_WOULD_DEADLOCK; TRANSOM_NO_MEMORY.
     */
    [[nodiscard]] transom_status write(std::string_view bytes, Milliseconds timeout = forever)
    {
        if (client_ == nullptr)
            return TRANSOM_GONE;
        return checked(transom_client_write(client_, bytes.data(), bytes.size(), timeout.count()));
    }

    /* Closes the sending side, after what was written. The server may still send. */
    void finish() noexcept
    {
        if (client_ != nullptr)
            (void)transom_client_finish(client_);
    }

    /* Returns the client for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_client *handle() const noexcept { return client_; }

    /* Gives the client up: it belongs to the caller. */
    [[nodiscard]] transom_client *release() noexcept { return std::exchange(client_, nullptr); }

private:
    static transom_status checked(transom_status status)
    {
        if (status != TRANSOM_GONE && status != TRANSOM_TIMEOUT && status != TRANSOM_WOULD_BLOCK)
            detail::check(status);
        return status;
    }

    transom_client *client_ = nullptr;
};

/* ---- Response: what a handler returns ------------------------------------------------ */

/*
 * A response as a value, for handlers that return one. It owns its body and its fields. A
 * handler that must not allocate sends its response with a Responder instead.
 */
class Response {
public:
    /* A response with a text, UTF-8. */
    Response(std::string text) : body_(std::move(text)), type_("text/plain; charset=utf-8") {}
    Response(const char *text) : Response(std::string(text)) {}
    Response(std::string_view text) : Response(std::string(text)) {}

    /* A response with this status code and a text, UTF-8. */
    Response(int status, std::string text) : Response(std::move(text)) { status_ = status; }

    /* A response with this status code and without a body. */
    explicit Response(int status) : status_(status) {}

    /* Returns a response with JSON, which you have encoded. */
    [[nodiscard]] static Response json(std::string text, int status = 200)
    {
        return {status, std::move(text), "application/json"};
    }

    /* Returns a response with HTML, UTF-8. */
    [[nodiscard]] static Response html(std::string text, int status = 200)
    {
        return {status, std::move(text), "text/html; charset=utf-8"};
    }

    /* Returns a response with bytes of another type, such as "image/png". */
    [[nodiscard]] static Response bytes(std::string_view type, std::string bytes, int status = 200)
    {
        return Response(status, std::move(bytes), nullptr).header("content-type", type);
    }

    /* Returns a redirection to `location`: 302, 301, 303, 307 or 308. */
    [[nodiscard]] static Response redirect(std::string_view location, int status = 302)
    {
        return Response(status).header("location", location);
    }

    /*
     * Adds a header field, which is copied. One that may be repeated may be added again.
     * "content-type" takes the place of the type that the response has.
     */
    Response &header(std::string_view name, std::string_view value) &
    {
        if (transom_bytes_equal_ignore_case(Field(name, value).handle().name, "content-type"))
            type_ = nullptr;
        fields_.emplace_back(name, value);
        return *this;
    }
    Response &&header(std::string_view name, std::string_view value) && { return std::move(header(name, value)); }

private:
    friend Responder;
    Response(int status, std::string body, const char *type) : status_(status), body_(std::move(body)), type_(type) {}

    int status_ = 200;
    std::string body_;
    const char *type_ = nullptr; /* static, or NULL */
    std::vector<std::pair<std::string, std::string>> fields_;
};

/* ---- Responder: sending the response, once, on any thread ---------------------------- */

/*
 * The right to send the response to one request, once: in the handler, or later, on any thread,
 * even after the server was destroyed. If it is destroyed without a response, the client gets a
 * 500.
 *
 * Each function that sends returns true if the server has taken the response and will send it,
 * and false if nobody waits for the response any more: the client has left, a deadline has
 * passed, or the server was stopped. The responder is empty then. Their errors, after which the
 * responder can still be used: TRANSOM_BAD_HEADER, TRANSOM_BAD_STATUS_CODE, TRANSOM_NO_MEMORY.
 * On an empty responder they throw TRANSOM_ALREADY_ANSWERED.
 */
class Responder {
public:
    /* Makes an empty responder. */
    Responder() = default;

    /* Takes a responder of C, which may be NULL, and owns it from now on. */
    explicit Responder(transom_responder *responder) noexcept : responder_(responder) {}

    Responder(Responder &&other) noexcept : responder_(other.release()) {}
    Responder &operator=(Responder &&other) noexcept
    {
        if (this != &other)
            transom_responder_free(std::exchange(responder_, other.release()));
        return *this;
    }
    Responder(const Responder &) = delete;
    Responder &operator=(const Responder &) = delete;

    /* Sends a 500, if there was no response. */
    ~Responder() { transom_responder_free(responder_); }

    /* Returns false if the responder is empty. */
    [[nodiscard]] explicit operator bool() const noexcept { return responder_ != nullptr; }

    /* Sends a status code from 200 to 599, header fields, and a body. All are copied. */
    bool send(int status, std::string_view body = {}, Fields fields = {})
    {
        detail::ErrorSlot error;
        return sent(transom_responder_send(handle_(), detail::code(status), fields.data(), fields.size(), body.data(),
                                           body.size(), error),
                    error);
    }

    /* Sends a text, UTF-8. */
    bool text(std::string_view text, int status = 200)
    {
        return send(status, text, {{"content-type", "text/plain; charset=utf-8"}});
    }

    /* Sends HTML, UTF-8. */
    bool html(std::string_view text, int status = 200)
    {
        return send(status, text, {{"content-type", "text/html; charset=utf-8"}});
    }

    /* Sends JSON, which you have encoded. */
    bool json(std::string_view text, int status = 200)
    {
        return send(status, text, {{"content-type", "application/json"}});
    }

    /* Refuses the request for a transom_reject: see transom_responder_refuse. */
    bool refuse(int reject)
    {
        detail::ErrorSlot error;
        return sent(transom_responder_refuse(handle_(), reject), error);
    }

    /* Sends bytes of another type, such as "image/png". */
    bool bytes(std::string_view type, std::string_view bytes, int status = 200)
    {
        detail::ErrorSlot error;
        return sent(transom_responder_send_bytes(handle_(), detail::code(status), detail::CText(type), bytes.data(),
                                                 bytes.size(), error),
                    error);
    }

    /* Sends a redirection to `location`: 302, 301, 303, 307 or 308. */
    bool redirect(std::string_view location, int status = 302) { return send(status, {}, {{"location", location}}); }

    /*
     * Sends a body without copying its bytes: `body` is a std::string, a std::vector<char> or
     * another container of bytes with data() and size(), and is moved. It is destroyed on any
     * thread: when it was sent or cannot be sent, and after every error.
     */
    template <class Body> bool send_owned(int status, Body &&body, Fields fields = {})
    {
        static_assert(!std::is_lvalue_reference_v<Body> && !std::is_const_v<Body>,
                      "the body is moved: std::move it, or copy it with send");
        static_assert(detail::is_bytes<Body>::value, "the body has data() and size(), and its elements are bytes");
        transom_responder *responder = handle_();
        auto kept = std::make_unique<Body>(std::move(body));
        const void *data = kept->data();
        const std::size_t size = kept->size();
        detail::ErrorSlot error;
        return sent(transom_responder_send_owned(responder, detail::code(status), fields.data(), fields.size(), data,
                                                 size, kept.release(), &detail::destroy<Body>, error),
                    error);
    }

    /* Sends a response that is a value. A body of 4 KiB or more is moved, and not copied. */
    bool send(Response &&response)
    {
        constexpr std::size_t few = 16;
        Field on_stack[few];
        std::vector<Field> on_heap;
        Field *fields = on_stack;
        std::size_t count = 0;
        if (response.fields_.size() + 1 > few) {
            on_heap.resize(response.fields_.size() + 1);
            fields = on_heap.data();
        }
        if (response.type_ != nullptr)
            fields[count++] = Field("content-type", response.type_);
        for (const auto &[name, value] : response.fields_)
            fields[count++] = Field(name, value);
        if (response.body_.size() < 4096)
            return send(response.status_, response.body_, {fields, count});
        return send_owned(response.status_, std::move(response.body_), {fields, count});
    }

    /*
     * Sends a part of a regular file: `length` bytes from `offset` on, or all that follow. The
     * descriptor belongs to the library from this call on, also after an error.
     *
     * Errors besides: TRANSOM_INVALID_ARGUMENT if `fd` is no regular file or the part is not in
     * it; TRANSOM_IO. The responder can still be used then.
     */
    bool send_file(int status, transom_descriptor fd, Fields fields = {}, std::uint64_t offset = 0,
                   std::uint64_t length = TRANSOM_TO_END)
    {
        detail::ErrorSlot error;
        return sent(transom_responder_send_file(handle_(), detail::code(status), fields.data(), fields.size(), fd,
                                                offset, length, error),
                    error);
    }

    /*
     * The same for the file with this name. Never make the name of what a client has sent,
     * without checking it.
     *
     * Errors besides: TRANSOM_IO if the file cannot be opened; error_number() says why. The
     * responder can still be used then.
     */
    bool send_file(int status, const char *path, Fields fields = {}, std::uint64_t offset = 0,
                   std::uint64_t length = TRANSOM_TO_END)
    {
        return send_file(status, detail::open_file(path), fields, offset, length);
    }

    /*
     * Answers a GET or HEAD with one regular file, with conditional requests and ranges: see
     * transom_responder_send_path. `download_as` is a name for the client to store it under.
     *
     * Errors besides: TRANSOM_INVALID_ARGUMENT if the path is no regular file; TRANSOM_IO. The responder
     * can still be used then.
     */
    bool send_path(const Request &request, std::string_view path, Fields fields = {},
                   std::optional<std::string_view> download_as = {})
    {
        detail::ErrorSlot error;
        const detail::CText name(download_as.value_or(std::string_view()));
        return sent(transom_responder_send_path(handle_(), request.handle(), detail::CText(path), fields.data(),
                                                fields.size(), download_as ? static_cast<const char *>(name) : nullptr,
                                                error),
                    error);
    }

    /*
     * Sends the status and the header fields, and returns a writer for the body. With the field
     * Content-Length, the body must have that length. If nobody waits for the response any
     * more, the writer is empty.
     */
    [[nodiscard]] Writer start(int status, Fields fields = {})
    {
        detail::ErrorSlot error;
        transom_writer *writer = nullptr;
        sent(transom_responder_start(handle_(), detail::code(status), fields.data(), fields.size(), &writer, error),
             error);
        return Writer(writer);
    }

    /* The same with the first bytes of the body, which leave with the header fields in one write. */
    [[nodiscard]] Writer start_with(int status, std::string_view data, Fields fields = {})
    {
        detail::ErrorSlot error;
        transom_writer *writer = nullptr;
        sent(transom_responder_start_with(handle_(), detail::code(status), fields.data(), fields.size(), data.data(),
                                          data.size(), &writer, error),
             error);
        return Writer(writer);
    }

    /* The same for a body of `length` bytes in all, which is sent as the Content-Length. */
    [[nodiscard]] Writer start_sized(int status, std::uint64_t length, Fields fields = {})
    {
        detail::ErrorSlot error;
        transom_writer *writer = nullptr;
        sent(transom_responder_start_sized(handle_(), detail::code(status), fields.data(), fields.size(), length,
                                           &writer, error),
             error);
        return Writer(writer);
    }

    /*
     * Begins a response that sends events as they come, and returns their sender. If nobody waits for the
     * response any more, the sender is empty. See transom_responder_start_sse.
     */
    [[nodiscard]] SseSender start_sse(Fields fields = {}, const SseSettings &settings = {})
    {
        detail::ErrorSlot error;
        transom_sse *sse = nullptr;
        sent(transom_responder_start_sse(handle_(), fields.data(), fields.size(), detail::CSseSettings(settings), &sse, error),
             error);
        return SseSender(sse);
    }

    /*
     * Answers with the events of a broadcast, from now on. `last_event_id` is the header field of the request
     * with that name: the client gets what it missed. See transom_sse_broadcast_subscribe.
     */
    bool subscribe(SseBroadcast &broadcast, std::optional<std::string_view> last_event_id = std::nullopt,
                   Fields fields = {}, const SseSettings &settings = {})
    {
        detail::ErrorSlot error;
        return sent(transom_sse_broadcast_subscribe(broadcast.handle(), handle_(), detail::bytes(last_event_id),
                                                    fields.data(), fields.size(), detail::CSseSettings(settings), error),
                    error);
    }

    /*
     * Takes the connection out of HTTP for `protocol`, such as "websocket", which the request must
     * name: see transom_responder_upgrade. If nobody waits for the response any more, the result
     * is empty.
     */
    [[nodiscard]] Upgraded upgrade(std::string_view protocol, Fields fields = {})
    {
        detail::ErrorSlot error;
        transom_upgraded *upgraded = nullptr;
        sent(transom_responder_upgrade(handle_(), detail::CText(protocol), fields.data(), fields.size(), &upgraded, error),
             error);
        return Upgraded(upgraded);
    }

    /*
     * Checks the handshake of a WebSocket connection, and answers it: see
     * transom_responder_accept_websocket. The result is empty if the handshake is wrong, and the client
     * has the answer for that, or if nobody waits for the response any more.
     */
    [[nodiscard]] WebSocket accept_websocket(const WebSocketUpgrade &upgrade, Fields fields = {})
    {
        return accept_websocket(upgrade.handle(), fields);
    }

    /* The same with the default settings. */
    [[nodiscard]] WebSocket accept_websocket(Fields fields = {}) { return accept_websocket(nullptr, fields); }

    /*
     * Sends "103 Early Hints" with these fields before the response, such as links to what the
     * client can fetch meanwhile. Returns false if nobody waits for the response any more. The
     * responder must still be used or destroyed.
     *
     * Errors: TRANSOM_BAD_HEADER.
     */
    bool early_hints(Fields fields)
    {
        detail::ErrorSlot error;
        const transom_status status =
            transom_responder_early_hints(handle_(), fields.data(), fields.size(), error);
        if (status != TRANSOM_GONE)
            error.check(status);
        return status == TRANSOM_OK;
    }

    /* Returns true if the client has left or closed its sending side: see transom.h. */
    [[nodiscard]] bool is_gone() const noexcept { return transom_responder_is_gone(responder_); }

    /*
     * Calls `function()` once if the client leaves before it has got the whole response, perhaps
     * before this returns. It runs on a thread that serves connections and must not block. See
     * transom_responder_on_gone. The responder must still be used or destroyed.
     *
     * Errors: TRANSOM_ALREADY_ANSWERED if the responder is empty or used up.
     */
    template <class F> void on_gone(F &&function)
    {
        const transom_status status =
            detail::register_once(std::forward<F>(function), [this](auto call, void *user_data, auto free) {
                return transom_responder_on_gone(responder_, call, user_data, free);
            });
        detail::check(responder_ == nullptr ? TRANSOM_ALREADY_ANSWERED : status);
    }

    /*
     * Calls `function()` once, when the server begins to stop, on the thread that stops it,
     * perhaps before this returns. It must not block. It is not called once the response was
     * sent.
     *
     * Errors: TRANSOM_ALREADY_ANSWERED if the responder is empty or used up.
     */
    template <class F> void on_stopping(F &&function)
    {
        const transom_status status =
            detail::register_once(std::forward<F>(function), [this](auto call, void *user_data, auto free) {
                return transom_responder_on_stopping(responder_, call, user_data, free);
            });
        detail::check(responder_ == nullptr ? TRANSOM_ALREADY_ANSWERED : status);
    }

    /* Returns the responder for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_responder *handle() const noexcept { return responder_; }

    /* Gives the responder up: it belongs to the caller. */
    [[nodiscard]] transom_responder *release() noexcept { return std::exchange(responder_, nullptr); }

    /* Returns the number that the events of this request have: see Events::watch. */
    [[nodiscard]] std::uint64_t token() const noexcept { return reinterpret_cast<std::uintptr_t>(responder_); }

private:
    [[nodiscard]] transom_responder *handle_() const
    {
        if (responder_ == nullptr)
            throw Error(TRANSOM_ALREADY_ANSWERED);
        return responder_;
    }

    WebSocket accept_websocket(const transom_websocket_upgrade *upgrade, Fields fields)
    {
        detail::ErrorSlot error;
        transom_websocket *websocket = nullptr;
        const transom_status status = transom_responder_accept_websocket(
            handle_(), upgrade, fields.data(), fields.size(), &websocket, error);
        if (status == TRANSOM_BAD_HANDSHAKE)
            static_cast<void>(release());
        else
            sent(status, error);
        return WebSocket(websocket);
    }

    bool sent(transom_status status, const detail::ErrorSlot &error)
    {
        if (status == TRANSOM_OK || status == TRANSOM_GONE) {
            transom_responder_free(release());
            return status == TRANSOM_OK;
        }
        error.check(status);
        return false;
    }

    transom_responder *responder_ = nullptr;
};

/* ---- Ready middleware ---------------------------------------------------------------- */

/*
 * Ready middleware by its name: see transom_middleware_new, and docs/content.md for the settings.
 *
 *     server.use(transom::Middleware("cors").set("origin", "https://app.example"));
 */
class Middleware {
public:
    /* Errors: TRANSOM_INVALID_ARGUMENT if there is no such middleware. */
    explicit Middleware(std::string_view name, std::string_view argument = "")
    {
        detail::ErrorSlot error;
        error.check(transom_middleware_new(detail::CText(name), detail::CText(argument), &middleware_, error));
    }

    Middleware(Middleware &&other) noexcept : middleware_(std::exchange(other.middleware_, nullptr)) {}
    Middleware &operator=(Middleware &&other) noexcept
    {
        std::swap(middleware_, other.middleware_);
        return *this;
    }
    ~Middleware() { transom_middleware_free(middleware_); }

    /* Changes a setting. Errors: TRANSOM_INVALID_ARGUMENT if there is no such setting. */
    Middleware &set(std::string_view setting, std::string_view value = "")
    {
        detail::ErrorSlot error;
        error.check(transom_middleware_set(middleware_, detail::CText(setting), detail::CText(value), error));
        return *this;
    }

    [[nodiscard]] transom_middleware *handle() const noexcept { return middleware_; }

private:
    transom_middleware *middleware_ = nullptr;
};

/* ---- Route --------------------------------------------------------------------------- */

namespace detail {

/* Calls a handler as what it is, and sends what it returns. */
template <class F> void answer(const F &handler, const Request &request, Responder &responder)
{
    if constexpr (std::is_invocable_v<const F &, const Request &, Responder>) {
        static_assert(std::is_void_v<std::invoke_result_t<const F &, const Request &, Responder>>,
                      "a handler that has a Responder returns nothing");
        handler(request, std::move(responder));
    } else {
        const auto call = [&]() -> decltype(auto) {
            if constexpr (std::is_invocable_v<const F &, const Request &>)
                return handler(request);
            else
                return handler();
        };
        using Result = decltype(call());
        if constexpr (std::is_void_v<Result>) {
            call();
            responder.send(204);
        } else if constexpr (!std::is_same_v<std::decay_t<Result>, std::string> &&
                             std::is_convertible_v<Result, std::string_view>) {
            /* A text that nobody owns is sent as it is, without a Response that would copy it. */
            responder.text(call());
        } else {
            static_assert(std::is_convertible_v<Result, Response>,
                          "a handler returns a transom::Response, a text or nothing");
            responder.send(Response(call()));
        }
    }
}

/* Logs the exception that is being handled, as that of the handler of a request. */
inline void log_handler(const transom_request *request, std::int32_t level) noexcept
{
    try {
        const Request seen(request);
        log_exception("the handler of " + std::string(seen.method()) + " " + std::string(seen.path()), level);
    } catch (...) {
        log_exception("a handler", level);
    }
}

/* The function of C that calls the handler `F`. No exception leaves it. */
template <class F> void handle(void *user_data, const transom_request *request, transom_responder *responder) noexcept
{
    Responder owned(responder);
    try {
        answer(*static_cast<const F *>(user_data), Request(request), owned);
    } catch (const BodyError &error) {
        log_handler(request, 4);
        transom_responder_send(owned.release(), code(error.status_code()), nullptr, 0, nullptr, 0, nullptr);
    } catch (...) {
        log_handler(request, 1);
    }
}

/* Registers a function that runs before handlers and one that runs after them, or nullptr. */
template <class Before, class After, class Registration>
transom_status register_wrap(Before &&before, After &&after, Registration registration);

} // namespace detail

/*
 * A route that is not yet part of a server: Server::add takes it. What is wrong with it is
 * reported then, so none of the functions below fails.
 *
 *     server.add(Route("POST", "/upload", upload).body_limit(1 << 30).timeout(10min));
 *
 * A handler is called in one of these forms, as const:
 *
 *     void (const Request &, Responder)   sends the response with the responder, or later
 *     R (const Request &), R ()           R is a Response; or a text (std::string,
 *                                         std::string_view, const char *): 200, text/plain;
 *                                         or void: 204
 */
class Route {
public:
    /*
     * Makes a route whose requests `handler` answers. With "*" or "" as `method`, it gets all
     * requests without a route of their own.
     */
    template <class F> Route(std::string_view method, std::string_view pattern, F &&handler)
    {
        using Handler = std::decay_t<F>;
        static_assert(std::is_invocable_v<const Handler &, const Request &, Responder> ||
                          std::is_invocable_v<const Handler &, const Request &> || std::is_invocable_v<const Handler &>,
                      "a handler is called as handler(const Request &, Responder), handler(const Request &) or "
                      "handler(), and as const because several threads call it: a lambda must not be mutable");
        const detail::CText c_pattern(pattern), c_method(method.empty() ? std::string_view("*") : method);
        auto kept = std::make_unique<Handler>(std::forward<F>(handler));
        route_ = detail::check(transom_route_new(c_method, c_pattern, &detail::handle<Handler>, kept.release(),
                                                 &detail::destroy<Handler>));
    }

    /* Makes a route whose requests Server::next returns. `id` is any number. */
    [[nodiscard]] static Route pull(std::string_view method, std::string_view pattern, std::uint32_t id = 0)
    {
        const detail::CText c_pattern(pattern), c_method(method.empty() ? std::string_view("*") : method);
        return Route(detail::check(transom_route_new_pull(c_method, c_pattern, id)));
    }

    Route(Route &&other) noexcept : route_(other.release()) {}
    Route &operator=(Route &&other) noexcept
    {
        if (this != &other)
            transom_route_free(std::exchange(route_, other.release()));
        return *this;
    }
    Route(const Route &) = delete;
    Route &operator=(const Route &) = delete;
    ~Route() { transom_route_free(route_); }

    /* Sets the most bytes of a request body, in place of the limit "body" of the server. */
    Route &body_limit(std::uint64_t bytes) & noexcept
    {
        static_cast<void>(transom_route_set_body_limit(route_, bytes));
        return *this;
    }
    Route &&body_limit(std::uint64_t bytes) && noexcept { return std::move(body_limit(bytes)); }

    /* Decompresses request bodies, to at most so many bytes: see transom_route_set_decompression. */
    Route &decompression(std::uint64_t limit) & noexcept
    {
        static_cast<void>(transom_route_set_decompression(route_, limit));
        return *this;
    }
    Route &&decompression(std::uint64_t limit) && noexcept { return std::move(decompression(limit)); }

    /* Limits the memory for decompressed bodies: see transom_route_set_decompression_memory. */
    Route &decompression_memory(std::size_t max_memory) & noexcept
    {
        static_cast<void>(transom_route_set_decompression_memory(route_, max_memory));
        return *this;
    }
    Route &&decompression_memory(std::size_t max_memory) && noexcept
    {
        return std::move(decompression_memory(max_memory));
    }

    /* Sets the time that the handler has for its response, in place of the timeout "handler". */
    Route &timeout(Milliseconds time) & noexcept
    {
        static_cast<void>(transom_route_set_timeout(route_, time.count()));
        return *this;
    }
    Route &&timeout(Milliseconds time) && noexcept { return std::move(timeout(time)); }

    /*
     * Sets how long requests may wait when the server is overloaded: "low", "normal", "high" or
     * "vital". See transom_route_set_priority.
     */
    Route &priority(std::string_view name) & noexcept
    {
        static_cast<void>(transom_route_set_priority(route_, detail::CText(name)));
        return *this;
    }
    Route &&priority(std::string_view name) && noexcept { return std::move(priority(name)); }

    /*
     * Runs the handler on the thread that serves the connection. This is fastest. The handler
     * must not block: everything else on that thread waits until it returns.
     */
    Route &run_inline(bool run = true) & noexcept
    {
        static_cast<void>(transom_route_set_inline(route_, run));
        return *this;
    }
    Route &&run_inline(bool run = true) && noexcept { return std::move(run_inline(run)); }

    /*
     * Calls the handler when the head of a request has come. It reads the body with
     * Request::read while it comes, in bounded memory.
     */
    Route &streaming(bool stream = true) & noexcept
    {
        static_cast<void>(transom_route_set_streaming(route_, stream));
        return *this;
    }
    Route &&streaming(bool stream = true) && noexcept { return std::move(streaming(stream)); }

    /* Uses ready middleware around the handler of this route: see transom_route_use. */
    Route &use(const Middleware &middleware) &
    {
        detail::check(transom_route_use(route_, middleware.handle()));
        return *this;
    }
    Route &&use(const Middleware &middleware) && { return std::move(use(middleware)); }

    /* Runs functions before and after the handler of this route: see Server::wrap. */
    template <class Before, class After> Route &wrap(Before &&before, After &&after) &
    {
        detail::check(detail::register_wrap(
            std::forward<Before>(before), std::forward<After>(after),
            [this](auto... arguments) { return transom_route_wrap(route_, arguments...); }));
        return *this;
    }
    template <class Before, class After> Route &&wrap(Before &&before, After &&after) &&
    {
        return std::move(wrap(std::forward<Before>(before), std::forward<After>(after)));
    }

    /* Returns the route for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_route *handle() const noexcept { return route_; }

    /* Gives the route up: it belongs to the caller. */
    [[nodiscard]] transom_route *release() noexcept { return std::exchange(route_, nullptr); }

private:
    explicit Route(transom_route *route) noexcept : route_(route) {}

    transom_route *route_ = nullptr;
};

/* ---- Static files -------------------------------------------------------------------- */

/*
 * The files of a folder: see transom_files. A server that gets it keeps its own copy of the settings.
 *
 *     server.files("/static", transom::Files("public").set("precompressed", 1));
 */
class Files {
public:
    /* Opens the folder. Errors: TRANSOM_IO, and error() says why. */
    explicit Files(std::string_view root)
    {
        detail::ErrorSlot error;
        error.check(transom_files_new(detail::CText(root), &files_, error));
    }

    Files(Files &&other) noexcept : files_(std::exchange(other.files_, nullptr)) {}
    Files &operator=(Files &&other) noexcept
    {
        std::swap(files_, other.files_);
        return *this;
    }
    ~Files() { transom_files_free(files_); }

    /* Sets a number, such as "listing": see transom_files_set. */
    Files &set(std::string_view name, std::uint64_t value)
    {
        detail::ErrorSlot error;
        error.check(transom_files_set(files_, detail::CText(name), value, error));
        return *this;
    }

    /* Sets the file that answers for its folder. */
    Files &index(std::string_view name)
    {
        detail::ErrorSlot error;
        error.check(transom_files_set_index(files_, detail::CText(name), error));
        return *this;
    }

    /* The same, and none answers. */
    Files &index(std::nullptr_t)
    {
        detail::ErrorSlot error;
        error.check(transom_files_set_index(files_, nullptr, error));
        return *this;
    }

    /* Sets the file that answers where there is none. */
    Files &single_page(std::string_view path)
    {
        detail::ErrorSlot error;
        error.check(transom_files_set_single_page(files_, detail::CText(path), error));
        return *this;
    }

    /* Sets the charset of texts. */
    Files &charset(std::string_view charset)
    {
        detail::ErrorSlot error;
        error.check(transom_files_set_charset(files_, detail::CText(charset), error));
        return *this;
    }

    /* The same, and texts tell none. */
    Files &charset(std::nullptr_t)
    {
        detail::ErrorSlot error;
        error.check(transom_files_set_charset(files_, nullptr, error));
        return *this;
    }

    /* Sets the Cache-Control of the files that match a pattern: see transom_files_add_cache_control. */
    Files &cache_control(std::string_view pattern, std::string_view value)
    {
        detail::ErrorSlot error;
        error.check(transom_files_add_cache_control(files_, detail::CText(pattern), detail::CText(value), error));
        return *this;
    }

    /* Sets the Content-Type of an extension: see transom_files_add_content_type. */
    Files &content_type(std::string_view extension, std::string_view type)
    {
        detail::ErrorSlot error;
        error.check(transom_files_add_content_type(files_, detail::CText(extension), detail::CText(type), error));
        return *this;
    }

    [[nodiscard]] const transom_files *handle() const noexcept { return files_; }

private:
    transom_files *files_ = nullptr;
};

/* ---- Server -------------------------------------------------------------------------- */

/* How a server drives its connections: see transom_server_set_model. */
enum class Model { event, threads, sequential };

/* The requests that were in progress when a server was told to stop. */
struct Report {
    /* Requests that ended with their whole response, that were cut off, and that are in progress. */
    std::uint64_t finished, cut, pending;
};

/* The counters of a server: see transom_server_stats. */
using Stats = transom_stats;

/* A connection of a server, with what it does: see transom_server_connections. */
using ConnectionInfo = transom_connection_info;

/* A part of a server that is stuck: see transom_server_stuck. */
using Stuck = transom_stuck;

/* Returns the name of a state of a connection, such as "reading-head". */
[[nodiscard]] inline std::string_view state_name(std::int32_t state) noexcept
{
    return transom_connection_state_name(state);
}

/* Returns the name of a kind of deadlines, such as "idle". */
[[nodiscard]] inline std::string_view deadline_name(std::int32_t deadline) noexcept
{
    return transom_deadline_name(deadline);
}

/*
 * An exchange that has ended: a request, its response, and what became of them. It and the views
 * that it returns are valid during the call of the function of Server::on_exchange.
 */
class Exchange {
public:
    explicit Exchange(const transom_exchange *exchange) noexcept : exchange_(exchange) {}

    /* Returns the method. Absent if the head of the request was refused, or none came. */
    [[nodiscard]] std::optional<std::string_view> method() const noexcept { return detail::maybe(exchange_->method); }

    /* Returns the request target, percent-encoded. Absent as the method is. */
    [[nodiscard]] std::optional<std::string_view> target() const noexcept { return detail::maybe(exchange_->target); }

    /* Returns the pattern of the route, empty for the fallback. Absent if no route was found. */
    [[nodiscard]] std::optional<std::string_view> route() const noexcept { return detail::maybe(exchange_->route); }

    /* Returns the other end of the connection, as Request::peer. */
    [[nodiscard]] std::string_view peer() const noexcept { return detail::view(exchange_->peer); }

    /* Returns the address at which the connection came in. Absent if the connection has ended. */
    [[nodiscard]] std::optional<std::string_view> local_address() const noexcept
    {
        return detail::maybe(exchange_->local_address);
    }

    /* Returns the scheme of the request, "https" or "http", as Request::scheme. */
    [[nodiscard]] std::string_view scheme() const noexcept { return detail::view(exchange_->scheme); }

    /* Returns the bytes of the request that were read, and of the response that were written. */
    [[nodiscard]] std::uint64_t bytes_in() const noexcept { return exchange_->bytes_in; }
    [[nodiscard]] std::uint64_t bytes_out() const noexcept { return exchange_->bytes_out; }

    /* Returns the time from the head of the request to the end of the exchange. */
    [[nodiscard]] std::chrono::nanoseconds duration() const noexcept
    {
        return std::chrono::nanoseconds(static_cast<std::int64_t>(exchange_->duration_ns));
    }

    /* Returns the status code of the response, or 0 if there was none. */
    [[nodiscard]] int status_code() const noexcept { return exchange_->status_code; }

    /* Returns the version of HTTP: 10 or 11, or 0 if the method is absent. */
    [[nodiscard]] int version() const noexcept { return exchange_->version; }

    /* Returns why the server refused the request or the connection, a transom_reject, or 0. */
    [[nodiscard]] std::int32_t reject() const noexcept { return exchange_->reject; }

    /* Returns the name of that reason, such as "missing-host"; empty if there is none. */
    [[nodiscard]] std::string_view reject_name() const noexcept { return transom_reject_name(exchange_->reject); }

    /* Returns how the exchange ended: a transom_ended. */
    [[nodiscard]] std::int32_t ended() const noexcept { return exchange_->ended; }

    /* Returns the exchange for functions of transom.h. */
    [[nodiscard]] const transom_exchange *handle() const noexcept { return exchange_; }

private:
    const transom_exchange *exchange_;
};

/*
 * What is known of a request that the server answers by itself. It and the views that it returns
 * are valid during the call of the function of Server::own_answers.
 */
class OwnAnswer {
public:
    explicit OwnAnswer(const transom_own_answer *answer) noexcept : answer_(answer) {}

    /* Returns the method. Absent if the head of the request was refused, or none came. */
    [[nodiscard]] std::optional<std::string_view> method() const noexcept { return detail::maybe(answer_->method); }

    /* Returns the request target. Absent as the method is, and if the line is long. */
    [[nodiscard]] std::optional<std::string_view> target() const noexcept { return detail::maybe(answer_->target); }

    /* Returns the other end of the connection, as Request::peer. */
    [[nodiscard]] std::string_view peer() const noexcept { return detail::view(answer_->peer); }

    /* Returns the status code of the answer. */
    [[nodiscard]] int status_code() const noexcept { return answer_->status_code; }

    /* Returns why the server refuses the request or the connection, a transom_reject, or 0. */
    [[nodiscard]] std::int32_t reject() const noexcept { return answer_->reject; }

    /* Returns the name of that reason, such as "missing-host"; empty if there is none. */
    [[nodiscard]] std::string_view reject_name() const noexcept { return transom_reject_name(answer_->reject); }

    /* Returns the answer for functions of transom.h. */
    [[nodiscard]] const transom_own_answer *handle() const noexcept { return answer_; }

private:
    const transom_own_answer *answer_;
};

/*
 * A response that is about to be sent, to be read and changed in a callback. It is valid during
 * that call; the views that it returns are valid until the response is changed.
 */
class OutgoingResponse {
public:
    explicit OutgoingResponse(transom_response *response) noexcept : response_(response) {}

    /* Returns the status code. */
    [[nodiscard]] int status_code() const noexcept { return transom_response_status_code(response_); }

    /* Sets the status code, from 200 to 599. Errors: TRANSOM_BAD_STATUS_CODE. */
    void set_status_code(int status)
    {
        detail::check(transom_response_set_status_code(response_, detail::code(status)));
    }

    /* Returns the value of the first header field with this name. */
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const
    {
        return detail::maybe(transom_response_header(response_, detail::CText(name)));
    }

    /* Returns all header fields, without those that the server adds when it sends. */
    [[nodiscard]] Items<transom_response> headers() const noexcept
    {
        return {response_, &transom_response_header_count, &transom_response_header_at};
    }

    /* Sets a header field in place of all others of that name. Errors: TRANSOM_BAD_HEADER. */
    void set_header(std::string_view name, std::string_view value)
    {
        detail::ErrorSlot error;
        error.check(transom_response_set_header(response_, detail::CText(name), value.data(), value.size(), error));
    }

    /* Adds a header field and keeps the others of that name. Errors: TRANSOM_BAD_HEADER. */
    void add_header(std::string_view name, std::string_view value)
    {
        detail::ErrorSlot error;
        error.check(transom_response_add_header(response_, detail::CText(name), value.data(), value.size(), error));
    }

    /* Removes all header fields with this name. */
    void remove_header(std::string_view name)
    {
        detail::check(transom_response_remove_header(response_, detail::CText(name)));
    }

    /* Returns the body. Absent if it is not in memory: a file, or written piece by piece. */
    [[nodiscard]] std::optional<std::string_view> body() const noexcept
    {
        return detail::maybe(transom_response_body(response_));
    }

    /* Sets the body, which is copied. Set "content-type" too. Errors: TRANSOM_NO_MEMORY. */
    void set_body(std::string_view body)
    {
        detail::check(transom_response_set_body(response_, body.data(), body.size()));
    }

    /* Returns the response for functions of transom.h. */
    [[nodiscard]] transom_response *handle() const noexcept { return response_; }

private:
    transom_response *response_;
};

namespace detail {

template <class Before, class After, class Registration>
transom_status register_wrap(Before &&before, After &&after, Registration registration)
{
    using Both = std::pair<std::decay_t<Before>, std::decay_t<After>>;
    using First = typename Both::first_type;
    using Second = typename Both::second_type;
    transom_before_fn run_before = nullptr;
    transom_after_fn run_after = nullptr;
    if constexpr (!std::is_same_v<First, std::nullptr_t>) {
        static_assert(std::is_invocable_r_v<bool, const First &, IncomingRequest &, OutgoingResponse &>,
                      "a before function is called as before(IncomingRequest &, OutgoingResponse &), and as const; it "
                      "returns true to go on");
        run_before = [](void *user_data, transom_request *request, transom_response *response) noexcept -> bool {
            try {
                IncomingRequest incoming(request);
                OutgoingResponse outgoing(response);
                return static_cast<const Both *>(user_data)->first(incoming, outgoing);
            } catch (...) {
                log_exception("a function before a handler");
                transom_response_set_status_code(response, 500);
                transom_response_set_body(response, nullptr, 0);
                return false;
            }
        };
    }
    if constexpr (!std::is_same_v<Second, std::nullptr_t>) {
        static_assert(std::is_invocable_v<const Second &, const Request &, OutgoingResponse &>,
                      "an after function is called as after(const Request &, OutgoingResponse &), and as const");
        run_after = [](void *user_data, const transom_request *request, transom_response *response) noexcept {
            try {
                OutgoingResponse outgoing(response);
                static_cast<const Both *>(user_data)->second(Request(request), outgoing);
            } catch (...) {
                log_exception("a function after a handler");
            }
        };
    }
    auto both = std::make_unique<Both>(std::forward<Before>(before), std::forward<After>(after));
    return registration(run_before, run_after, both.release(), &destroy<Both>);
}

} // namespace detail

/* The responses with the same labels, counted: see transom_series_record. */
struct MetricSeries {
    std::string method, scheme;
    /* Empty without a route, and for the fallback. */
    std::string route;
    /* Empty if there was no error. */
    std::string error;
    int status_code = 0;
    int version = 0;
    bool is_overflow = false;
    /* How many durations are in each bucket: see Metrics::bounds. */
    std::vector<std::uint64_t> buckets;
    std::chrono::nanoseconds sum{0};
    std::uint64_t bytes_in = 0, bytes_out = 0;

    /* Returns the number of responses. */
    [[nodiscard]] std::uint64_t count() const noexcept
    {
        std::uint64_t count = 0;
        for (const std::uint64_t bucket : buckets)
            count += bucket;
        return count;
    }
};

/* A metric that is no response: see transom_metric_record. */
struct MetricValue {
    std::string name, description, unit, label, label_value;
    transom_metric_kind kind = TRANSOM_METRIC_GAUGE;
    double value = 0;
};

/* All metrics at one moment. */
struct MetricsSnapshot {
    std::vector<MetricSeries> series;
    std::vector<MetricValue> values;
};

/*
 * Decides which requests may begin that wait in a queue of the program's: see transom_congestion.
 * Priorities are names, as for Route::priority.
 */
class Congestion {
public:
    /* The congestion of a queue that is empty. 0 is the usual time: see Server::overload. */
    explicit Congestion(Milliseconds target = Milliseconds(0), Milliseconds interval = Milliseconds(0))
        : congestion_(detail::check(transom_congestion_new(target.count(), interval.count())))
    {
    }

    Congestion(Congestion &&other) noexcept : congestion_(std::exchange(other.congestion_, nullptr)) {}
    Congestion &operator=(Congestion &&other) noexcept
    {
        std::swap(congestion_, other.congestion_);
        return *this;
    }
    ~Congestion() { transom_congestion_free(congestion_); }

    /* Tells that nothing waits. */
    void note_idle() noexcept { transom_congestion_note_idle(congestion_); }

    /* Tells that requests begin, of which the first has waited for so long. */
    void note_start(std::chrono::nanoseconds waited, std::uint32_t count = 1) noexcept
    {
        transom_congestion_note_start(congestion_, nanoseconds(waited), count);
    }

    /* Returns true if more comes than can be done. */
    [[nodiscard]] bool is_overloaded() noexcept { return transom_congestion_is_overloaded(congestion_); }

    /* Returns true if a request may join the queue. If false, refuse it: see Responder::refuse. */
    [[nodiscard]] bool admits(std::string_view priority, std::size_t waiting, std::chrono::nanoseconds oldest)
    {
        return transom_congestion_admits(congestion_, detail::CText(priority), waiting, nanoseconds(oldest));
    }

    /* Returns true if a request may begin, or go on waiting. If false, refuse it. */
    [[nodiscard]] bool may_start(std::string_view priority, std::chrono::nanoseconds waited)
    {
        return transom_congestion_may_start(congestion_, detail::CText(priority), nanoseconds(waited));
    }

private:
    transom_congestion *congestion_;

    static std::uint64_t nanoseconds(std::chrono::nanoseconds time) noexcept
    {
        return time.count() < 0 ? 0 : static_cast<std::uint64_t>(time.count());
    }
};

/* The settings of compressed responses: see transom_compression. */
class Compression {
public:
    Compression() : compression_(detail::check(transom_compression_new())) {}

    Compression(Compression &&other) noexcept : compression_(std::exchange(other.compression_, nullptr)) {}
    Compression &operator=(Compression &&other) noexcept
    {
        std::swap(compression_, other.compression_);
        return *this;
    }
    ~Compression() { transom_compression_free(compression_); }

    /* Sets the codings and their order, such as "br, gzip". */
    Compression &codings(std::string_view names)
    {
        detail::ErrorSlot error;
        error.check(transom_compression_set_codings(compression_, detail::CText(names), error));
        return *this;
    }

    /* Sets the level of a coding: see transom_compression_set_level. */
    Compression &level(std::string_view coding, std::uint32_t level)
    {
        detail::ErrorSlot error;
        error.check(transom_compression_set_level(compression_, detail::CText(coding), level, error));
        return *this;
    }

    /* Sets how many bytes a response must have to be compressed. */
    Compression &min_size(std::uint64_t bytes)
    {
        detail::check(transom_compression_set_min_size(compression_, bytes));
        return *this;
    }

    /* Sets the media types that are compressed, separated by commas. */
    Compression &types(std::string_view types)
    {
        detail::check(transom_compression_set_types(compression_, detail::CText(types)));
        return *this;
    }

    /* Limits the streams that are compressed at once. */
    Compression &max_streams(std::size_t count)
    {
        detail::check(transom_compression_set_max_streams(compression_, count));
        return *this;
    }

    /* Returns the handle, for the functions of C. */
    [[nodiscard]] const transom_compression *handle() const noexcept { return compression_; }

private:
    transom_compression *compression_;
};

/* Metrics of one or more servers: see transom_metrics. */
class Metrics {
public:
    /* Metrics with at most so many series; 0 is the usual number. */
    explicit Metrics(std::size_t max_series = 0) : metrics_(detail::check(transom_metrics_new(max_series))) {}

    Metrics(Metrics &&other) noexcept : metrics_(std::exchange(other.metrics_, nullptr)) {}
    Metrics &operator=(Metrics &&other) noexcept
    {
        std::swap(metrics_, other.metrics_);
        return *this;
    }
    ~Metrics() { transom_metrics_free(metrics_); }

    /* Returns the bounds between the buckets in seconds: see transom_metrics_bounds. */
    [[nodiscard]] static std::vector<double> bounds()
    {
        std::size_t count = 0;
        const double *first = transom_metrics_bounds(&count);
        return std::vector<double>(first, first + count);
    }

    /* Returns the metrics as text for Prometheus: see transom_metrics_text. */
    [[nodiscard]] std::string text() const
    {
        return filled<std::string>([this](std::string &text, std::size_t &len) {
            return transom_metrics_text(metrics_, text.data(), text.size(), &len);
        });
    }

    /* Returns the metrics as values: see transom_metrics_snapshot. */
    [[nodiscard]] MetricsSnapshot snapshot() const
    {
        return unpacked(filled<std::vector<unsigned char>>([this](auto &buffer, std::size_t &len) {
            return transom_metrics_snapshot(metrics_, buffer.data(), buffer.size(), &len);
        }));
    }

    /* Returns the responses that each shard has counted: see transom_metrics_shard_snapshot. */
    [[nodiscard]] std::vector<MetricsSnapshot> shards() const
    {
        std::vector<MetricsSnapshot> all;
        for (std::size_t index = 0; index < transom_metrics_shard_count(metrics_); index++)
            all.push_back(unpacked(filled<std::vector<unsigned char>>([&](auto &buffer, std::size_t &len) {
                return transom_metrics_shard_snapshot(metrics_, index, buffer.data(), buffer.size(), &len);
            })));
        return all;
    }

    /* Returns the handle, for the functions of C. */
    [[nodiscard]] const transom_metrics *handle() const noexcept { return metrics_; }

private:
    transom_metrics *metrics_;

    /* Reads the records of a snapshot. */
    static MetricsSnapshot unpacked(const std::vector<unsigned char> &bytes)
    {
        MetricsSnapshot found;
        for (std::size_t at = 0; at < bytes.size();) {
            std::uint32_t head[2];
            std::memcpy(head, &bytes[at], sizeof head);
            Reader reader(&bytes[at]);
            if (head[1] == TRANSOM_RECORD_SERIES)
                found.series.push_back(series(reader));
            else if (head[1] == TRANSOM_RECORD_METRIC)
                found.values.push_back(value(reader));
            at += head[0];
        }
        return found;
    }

    /* Reads a record from its beginning. */
    class Reader {
    public:
        explicit Reader(const unsigned char *at) : at_(at) {}

        template <class T>
        T next()
        {
            T value;
            std::memcpy(&value, at_, sizeof value);
            at_ += sizeof value;
            return value;
        }

        std::string text(std::uint32_t len)
        {
            std::string text(reinterpret_cast<const char *>(at_), len);
            at_ += len;
            return text;
        }

    private:
        const unsigned char *at_;
    };

    /* Calls a function until its result fits the buffer. */
    template <class Buffer, class Fill>
    static Buffer filled(Fill fill)
    {
        Buffer buffer;
        for (std::size_t len = 0;;) {
            const transom_status status = fill(buffer, len);
            if (status != TRANSOM_BUFFER_TOO_SMALL) {
                detail::check(status);
                buffer.resize(len);
                return buffer;
            }
            buffer.resize(len + len / 8);
        }
    }

    static MetricSeries series(Reader &reader)
    {
        const auto record = reader.next<transom_series_record>();
        MetricSeries series;
        for (std::uint32_t bucket = 0; bucket < record.bucket_count; ++bucket)
            series.buckets.push_back(reader.next<std::uint64_t>());
        series.method = reader.text(record.method_len);
        series.scheme = reader.text(record.scheme_len);
        series.route = reader.text(record.route_len);
        series.error = reader.text(record.error_len);
        series.status_code = record.status_code;
        series.version = record.version;
        series.is_overflow = record.is_overflow != 0;
        series.sum = std::chrono::nanoseconds(record.sum_ns);
        series.bytes_in = record.bytes_in;
        series.bytes_out = record.bytes_out;
        return series;
    }

    static MetricValue value(Reader &reader)
    {
        const auto record = reader.next<transom_metric_record>();
        MetricValue value;
        value.name = reader.text(record.name_len);
        value.description = reader.text(record.description_len);
        value.unit = reader.text(record.unit_len);
        value.label = reader.text(record.label_len);
        value.label_value = reader.text(record.label_value_len);
        value.kind = static_cast<transom_metric_kind>(record.metric_kind);
        value.value = record.value;
        return value;
    }
};

/*
 * TLS for the connections of a socket: certificates, keys, and what else a handshake needs: see
 * transom_tls. Its files are read by Server::bind_tls or by reload, whichever is first; from then on
 * the settings are fixed. A server keeps TLS after this object was destroyed.
 */
class Tls {
public:
    Tls() : tls_(detail::check(transom_tls_new())) {}

    /* TLS with the certificate and the key in two files: see files. */
    Tls(std::string_view certificate, std::string_view key) : Tls() { static_cast<void>(files(certificate, key)); }

    Tls(Tls &&other) noexcept : tls_(std::exchange(other.tls_, nullptr)) {}
    Tls &operator=(Tls &&other) noexcept
    {
        std::swap(tls_, other.tls_);
        return *this;
    }
    ~Tls() { transom_tls_free(tls_); }

    /* Adds a certificate and its key, in two files in PEM: see transom_tls_add_files. */
    Tls &files(std::string_view certificate, std::string_view key)
    {
        detail::check(transom_tls_add_files(tls_, detail::CText(certificate), detail::CText(key)));
        return *this;
    }

    /* Adds a certificate and its key in PEM: see transom_tls_add_pem. */
    Tls &pem(std::string_view certificate, std::string_view key)
    {
        detail::check(transom_tls_add_pem(tls_, certificate.data(), certificate.size(), key.data(), key.size()));
        return *this;
    }

    /* Asks each client for a certificate: see transom_tls_add_client_authorities_file. */
    Tls &client_authorities_file(std::string_view path)
    {
        detail::check(transom_tls_add_client_authorities_file(tls_, detail::CText(path)));
        return *this;
    }

    /* The same with the certificates of the authorities in PEM. */
    Tls &client_authorities(std::string_view pem)
    {
        detail::check(transom_tls_add_client_authorities(tls_, pem.data(), pem.size()));
        return *this;
    }

    /* Adds a list of revoked certificates: see transom_tls_add_client_revocations_file. */
    Tls &client_revocations_file(std::string_view path)
    {
        detail::check(transom_tls_add_client_revocations_file(tls_, detail::CText(path)));
        return *this;
    }

    /* Lets clients in that have no certificate. */
    Tls &client_certificates_optional()
    {
        detail::check(transom_tls_set_client_certificates_optional(tls_));
        return *this;
    }

    /* Sets the protocols that the server offers (ALPN): see transom_tls_set_protocols. */
    Tls &protocols(std::initializer_list<std::string_view> protocols)
    {
        std::vector<transom_bytes> list;
        for (const std::string_view protocol : protocols)
            list.push_back({reinterpret_cast<const std::uint8_t *>(protocol.data()), protocol.size()});
        detail::check(transom_tls_set_protocols(tls_, list.data(), list.size()));
        return *this;
    }

    /* Sets the least version, "1.2" or "1.3". */
    Tls &least_version(std::string_view version)
    {
        detail::ErrorSlot error;
        error.check(transom_tls_set_least_version(tls_, detail::CText(version), error));
        return *this;
    }

    /* Reads the files again when they have changed: see transom_tls_set_watch. */
    Tls &watch(Milliseconds interval)
    {
        detail::check(transom_tls_set_watch(tls_, interval.count()));
        return *this;
    }

    /*
     * Reads the files again, or for the first time. Errors: TRANSOM_BAD_TLS; what was in use stays
     * in use.
     */
    void reload()
    {
        detail::ErrorSlot error;
        error.check(transom_tls_reload(tls_, error));
    }

    /* Puts a certificate and a key in PEM in place of all that there were. Errors: as reload. */
    void replace(std::string_view certificate, std::string_view key)
    {
        detail::ErrorSlot error;
        error.check(transom_tls_replace(tls_, certificate.data(), certificate.size(), key.data(), key.size(), error));
    }

    /* Returns the object for functions of transom.h. It still belongs to this one. */
    [[nodiscard]] transom_tls *handle() const noexcept { return tls_; }

private:
    transom_tls *tls_;
};

/*
 * An access log: a line for each response of the servers that have it. See transom_access_log. A
 * server keeps the log after this object was destroyed.
 */
class AccessLog {
public:
    /* A log that adds its lines to a file. Errors: as transom_access_log_open. */
    explicit AccessLog(std::string_view path)
    {
        detail::ErrorSlot error;
        error.check(transom_access_log_open(detail::CText(path), &log_, error));
    }

    /* A log that writes to a copy of a descriptor. Errors: as transom_access_log_open. */
    [[nodiscard]] static AccessLog to_descriptor(transom_descriptor fd)
    {
        detail::ErrorSlot error;
        AccessLog made;
        error.check(transom_access_log_open_fd(fd, &made.log_, error));
        return made;
    }

    /*
     * A log that calls `function(std::string_view)` with whole lines, on a thread of its own. If it
     * throws, the lines are lost.
     */
    template <class F, class = std::enable_if_t<std::is_invocable_v<std::decay_t<F> &, std::string_view>>>
    explicit AccessLog(F &&function)
    {
        using Callable = std::decay_t<F>;
        detail::ErrorSlot error;
        auto callable = std::make_unique<Callable>(std::forward<F>(function));
        error.check(transom_access_log_new(
            [](void *user_data, const void *data, std::size_t length) noexcept {
                try {
                    (*static_cast<Callable *>(user_data))(std::string_view(static_cast<const char *>(data), length));
                    return 0;
                } catch (...) {
                    detail::log_exception("the function of an access log");
                    return -1;
                }
            },
            callable.release(), &detail::destroy<Callable>, &log_, error));
    }

    AccessLog(AccessLog &&other) noexcept : log_(std::exchange(other.log_, nullptr)) {}
    AccessLog &operator=(AccessLog &&other) noexcept
    {
        std::swap(log_, other.log_);
        return *this;
    }
    ~AccessLog() { transom_access_log_free(log_); }

    /* Sets the format, "common", "combined", "json" or directives such as %h, for the servers that get the
     * log later. */
    AccessLog &format(std::string_view name)
    {
        detail::ErrorSlot error;
        error.check(transom_access_log_set_format(log_, detail::CText(name), error));
        return *this;
    }

    /*
     * Sets a format of the program's own: `function(const Exchange &)` returns the line as a
     * std::string, empty for none. It runs on a thread that serves connections, on several at the same
     * time, and must not block. If it throws, there is no line.
     */
    template <class F> AccessLog &own_format(F &&function)
    {
        using Callable = std::decay_t<F>;
        static_assert(std::is_invocable_r_v<std::string, const Callable &, const Exchange &>,
                      "the function is called as std::string function(const Exchange &), and as const");
        auto callable = std::make_unique<Callable>(std::forward<F>(function));
        detail::check(transom_access_log_set_own_format(
            log_,
            [](void *user_data, const transom_exchange *exchange, char *buffer, std::size_t size) noexcept {
                try {
                    const std::string line = (*static_cast<const Callable *>(user_data))(Exchange(exchange));
                    line.copy(buffer, size);
                    return static_cast<int>(line.size());
                } catch (...) {
                    detail::log_exception("the format of an access log");
                    return 0;
                }
            },
            callable.release(), &detail::destroy<Callable>));
        return *this;
    }

    /* Sets how many bytes of lines may wait to be written. */
    AccessLog &buffer(std::size_t bytes)
    {
        detail::check(transom_access_log_set_buffer(log_, bytes));
        return *this;
    }

    /* Opens the file again, after it was renamed: see transom_access_log_reopen. */
    void reopen()
    {
        detail::ErrorSlot error;
        error.check(transom_access_log_reopen(log_, error));
    }

    /* Waits until the lines so far are written or lost. Returns false if that takes longer. */
    bool flush(Milliseconds timeout)
    {
        const transom_status status = transom_access_log_flush(log_, timeout.count());
        if (status == TRANSOM_TIMEOUT)
            return false;
        detail::check(status);
        return true;
    }

    /* Returns the number of lines that were lost. */
    [[nodiscard]] std::uint64_t lost() const noexcept { return transom_access_log_lost(log_); }

    /* Returns the object for functions of transom.h. It still belongs to this one. */
    [[nodiscard]] transom_access_log *handle() const noexcept { return log_; }

private:
    AccessLog() = default;

    transom_access_log *log_ = nullptr;
};

/* A request of a pull route, with the number of its route. */
struct Pulled {
    Request request;
    Responder responder;
    std::uint32_t route_id;
};

class Events;

/*
 * A server. First it takes routes and settings; after the start it has threads and sockets. Any
 * thread may call its functions, several at the same time. The destructor stops it: requests in
 * progress have the timeout "stop" to end, 10 seconds by default, and no handler runs afterwards
 * except one that does not return in that time.
 *
 * Handlers that capture a reference to a Server need it to stay where it is: do not move it then.
 *
 * The functions that set something up throw an Error whose what() quotes what was refused; after
 * the start, it is TRANSOM_ALREADY_STARTED.
 */
class Server {
public:
    /* Errors: TRANSOM_INVALID_ARGUMENT if the library that is loaded is not that of this header. */
    Server() : server_(create()) {}

    Server(Server &&other) noexcept : server_(std::exchange(other.server_, nullptr)) {}
    Server &operator=(Server &&other) noexcept
    {
        if (this != &other)
            transom_server_free(std::exchange(server_, std::exchange(other.server_, nullptr)));
        return *this;
    }
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;

    /* Stops the server, and waits for its threads. */
    ~Server() { transom_server_free(server_); }

    /*
     * Adds a route: see Route for the forms of a handler, and transom_server_route for the
     * pattern. A route for GET also gets HEAD requests.
     *
     * Errors: TRANSOM_BAD_ROUTE if no request could match, or if the route exists already.
     */
    template <class F> Server &route(std::string_view method, std::string_view pattern, F &&handler)
    {
        return add(Route(method, pattern, std::forward<F>(handler)));
    }
    template <class F> Server &get(std::string_view pattern, F &&handler)
    {
        return route("GET", pattern, std::forward<F>(handler));
    }
    template <class F> Server &post(std::string_view pattern, F &&handler)
    {
        return route("POST", pattern, std::forward<F>(handler));
    }
    template <class F> Server &put(std::string_view pattern, F &&handler)
    {
        return route("PUT", pattern, std::forward<F>(handler));
    }
    template <class F> Server &patch(std::string_view pattern, F &&handler)
    {
        return route("PATCH", pattern, std::forward<F>(handler));
    }
    template <class F> Server &del(std::string_view pattern, F &&handler)
    {
        return route("DELETE", pattern, std::forward<F>(handler));
    }
    template <class F> Server &any(std::string_view pattern, F &&handler)
    {
        return route("*", pattern, std::forward<F>(handler));
    }

    /* Serves the files of a folder under a prefix: see transom_server_add_files. */
    Server &files(std::string_view prefix, const Files &files)
    {
        detail::ErrorSlot error;
        error.check(transom_server_add_files(server_, detail::CText(prefix), files.handle(), error));
        return *this;
    }

    /* Adds a route with settings of its own. */
    Server &add(Route route)
    {
        detail::ErrorSlot error;
        error.check(transom_server_add(server_, route.release(), error));
        return *this;
    }

    /* Uses `handler` for requests whose path matches no route, which get a 404 otherwise. */
    template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, Route>>> Server &fallback(F &&handler)
    {
        return fallback(Route("*", "/", std::forward<F>(handler)));
    }

    /* The same, for a route with settings of its own. Its method and pattern are not used. */
    Server &fallback(Route route)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_fallback(server_, route.release(), error));
        return *this;
    }

    /* Chooses how the server drives its connections. */
    Server &model(Model model)
    {
        constexpr const char *names[] = {"event", "threads", "sequential"};
        return this->model(names[static_cast<int>(model)]);
    }

    /* The same by name. Errors: TRANSOM_INVALID_ARGUMENT for any other name. */
    Server &model(std::string_view name)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_model(server_, detail::CText(name), error));
        return *this;
    }

    /* Sets the number of threads that serve connections in the model "event". */
    Server &workers(std::size_t count)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_workers(server_, count, error));
        return *this;
    }

    /* Sets a limit, such as "body": transom_server_set_limit lists the names. */
    Server &limit(std::string_view name, std::uint64_t value)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_limit(server_, detail::CText(name), value, error));
        return *this;
    }

    /* Uses ready middleware around all routes: see transom_server_use. */
    Server &use(const Middleware &middleware)
    {
        detail::check(transom_server_use(server_, middleware.handle()));
        return *this;
    }

    /* Sets a timeout, such as "handler": transom_server_set_timeout lists the names. */
    Server &timeout(std::string_view name, Milliseconds time)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_timeout(server_, detail::CText(name), time.count(), error));
        return *this;
    }

    /* Sets the file mode of the Unix sockets that the server binds, such as 0660. */
    Server &unix_mode(std::uint32_t mode)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_unix_mode(server_, mode, error));
        return *this;
    }

    /* Lets the TCP addresses that are bound after this call be shared. See transom_server_set_reuse_port. */
    Server &reuse_port(bool reuse_port = true)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_reuse_port(server_, reuse_port, error));
        return *this;
    }

    /* Limits how long requests wait; 0 is the default. See transom_server_set_overload. */
    Server &overload(Milliseconds target = Milliseconds(0), Milliseconds interval = Milliseconds(0))
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_overload(server_, target.count(), interval.count(), error));
        return *this;
    }

    /*
     * Reserves places for the connections of each socket that is bound or added after this call.
     * See transom_server_reserve.
     */
    Server &reserve(std::size_t places)
    {
        detail::ErrorSlot error;
        error.check(transom_server_reserve(server_, places, error));
        return *this;
    }

    /* Reserves places of a socket that was added before: see transom_server_set_listener_reserve. */
    Server &listener_reserve(std::size_t index, std::size_t places)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_listener_reserve(server_, index, places, error));
        return *this;
    }

    /*
     * Expects a PROXY header from these networks ("10.0.0.0/8, ::1, unix") on the sockets that are
     * bound or added after this call. See transom_server_set_proxy_protocol.
     */
    Server &proxy_protocol(std::string_view networks)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_proxy_protocol(server_, detail::CText(networks), error));
        return *this;
    }

    /* Expects no PROXY header on the sockets that are bound or added after this call. */
    Server &no_proxy_protocol()
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_proxy_protocol(server_, nullptr, error));
        return *this;
    }

    /*
     * Believes proxies in these networks ("10.0.0.0/8, unix") where requests came from. `fields` is
     * "x-forwarded" or "forwarded". See transom_server_trust_forwarded.
     */
    Server &trust_forwarded(std::string_view fields, std::string_view networks, bool with_host = false)
    {
        detail::ErrorSlot error;
        error.check(transom_server_trust_forwarded(server_, detail::CText(fields), detail::CText(networks),
                                                   with_host, error));
        return *this;
    }

    /*
     * Answers requests for this host, and for those of other calls, only; others get a 421. See
     * transom_server_allow_host.
     */
    Server &allow_host(std::string_view host)
    {
        detail::ErrorSlot error;
        error.check(transom_server_allow_host(server_, detail::CText(host), error));
        return *this;
    }

    /* Lets the server start without an address. Clients then connect with connect only. */
    Server &unbound()
    {
        detail::check(transom_server_set_unbound(server_));
        return *this;
    }

    /* Allows "localhost", "127.0.0.1" and "[::1]", as protection against DNS rebinding. */
    Server &allow_loopback_hosts()
    {
        detail::ErrorSlot error;
        error.check(transom_server_allow_loopback_hosts(server_, error));
        return *this;
    }

    /*
     * Calls `function(const Exchange &)` once for each response, when it was written or when the
     * connection has ended before that: for an access log and for metrics. It runs on a thread
     * that serves connections, on several at the same time, and must not block.
     */
    template <class F> Server &on_exchange(F &&function)
    {
        using Callable = std::decay_t<F>;
        static_assert(std::is_invocable_v<const Callable &, const Exchange &>,
                      "the function is called as function(const Exchange &), and as const");
        auto callable = std::make_unique<Callable>(std::forward<F>(function));
        detail::check(transom_server_on_exchange(
            server_,
            [](void *user_data, const transom_exchange *exchange) noexcept {
                guarded("the function of on_exchange", *static_cast<const Callable *>(user_data), Exchange(exchange));
            },
            callable.release(), &detail::destroy<Callable>));
        return *this;
    }

    /* Writes a line to an access log for each response: see transom_server_add_access_log. */
    Server &access_log(const AccessLog &log)
    {
        detail::check(transom_server_add_access_log(server_, log.handle()));
        return *this;
    }

    /*
     * Has `function(const OwnAnswer &, OutgoingResponse &)` word the answers that the server
     * gives by itself: refused requests, 404, 405, and the 500 of a handler that throws. It runs
     * on a thread that serves connections, on several at the same time, and must not block.
     */
    template <class F> Server &own_answers(F &&function)
    {
        using Callable = std::decay_t<F>;
        static_assert(std::is_invocable_v<const Callable &, const OwnAnswer &, OutgoingResponse &>,
                      "the function is called as function(const OwnAnswer &, OutgoingResponse &), and as const");
        auto callable = std::make_unique<Callable>(std::forward<F>(function));
        detail::check(transom_server_own_answers(
            server_,
            [](void *user_data, const transom_own_answer *answer, transom_response *response) noexcept {
                OutgoingResponse outgoing(response);
                guarded("the function of own_answers", *static_cast<const Callable *>(user_data), OwnAnswer(answer),
                        outgoing);
            },
            callable.release(), &detail::destroy<Callable>));
        return *this;
    }

    /*
     * Sets the body of the answers that the server gives by itself with a status code; 0 stands
     * for all that have no body of their own. `{status}` and `{reason}` in the body become the
     * status code and its reason phrase, and `{detail}` the sentence that says what was refused.
     * Where there is none, the parts between `{?` and `?}` are left out.
     */
    Server &own_body(std::uint16_t status_code, std::string_view content_type, std::string_view body)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_own_body(server_, status_code, detail::CText(content_type), body.data(),
                                                body.size(), error));
        return *this;
    }

    /*
     * Runs `before(IncomingRequest &, OutgoingResponse &)` before handlers, and
     * `after(const Request &, OutgoingResponse &)` after them, for every request that the server
     * accepts. `before` returns true to go on, or false to answer with the response, which is an
     * empty 403 unless it changes it. Either may be nullptr. If `before` throws, the client gets
     * a 500; if `after` throws, the response is sent as it is then.
     *
     * The first registration is the outermost. They run on a thread that serves connections,
     * on several at the same time, and must not block. See transom_server_wrap.
     */
    template <class Before, class After> Server &wrap(Before &&before, After &&after)
    {
        detail::check(detail::register_wrap(
            std::forward<Before>(before), std::forward<After>(after),
            [this](auto... arguments) { return transom_server_wrap(server_, arguments...); }));
        return *this;
    }

    /*
     * Runs `start()` first and `stop()` last on every thread of the library that runs callables
     * of this server. Both are destroyed together, after the last call of `stop`.
     */
    template <class Start, class Stop> Server &thread_hooks(Start &&start, Stop &&stop)
    {
        using Hooks = std::pair<std::decay_t<Start>, std::decay_t<Stop>>;
        static_assert(std::is_invocable_v<const std::decay_t<Start> &> &&
                          std::is_invocable_v<const std::decay_t<Stop> &>,
                      "a hook is called without arguments, and as const because several threads call it");
        auto hooks = std::make_unique<Hooks>(std::forward<Start>(start), std::forward<Stop>(stop));
        detail::check(transom_server_set_thread_hooks(
            server_, [](void *user_data) noexcept { guarded("a hook", static_cast<const Hooks *>(user_data)->first); },
            [](void *user_data) noexcept { guarded("a hook", static_cast<const Hooks *>(user_data)->second); },
            hooks.release(), &detail::destroy<Hooks>));
        return *this;
    }

    /* Listens on an address, and speaks TLS there: see transom_server_bind_tls. */
    Server &bind_tls(std::string_view address, const Tls &tls)
    {
        detail::ErrorSlot error;
        error.check(transom_server_bind_tls(server_, detail::CText(address), tls.handle(), error));
        return *this;
    }

    /*
     * Listens on an address, and redirects each request there to https: see
     * transom_server_bind_redirect. The port 0 is that of the first socket with TLS.
     */
    Server &bind_redirect(std::string_view address, std::uint16_t https_port = 0)
    {
        detail::ErrorSlot error;
        error.check(transom_server_bind_redirect(server_, detail::CText(address), https_port, error));
        return *this;
    }

    /* Gives TLS to a socket that was added before: see transom_server_set_listener_tls. */
    Server &listener_tls(std::size_t index, const Tls &tls)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_listener_tls(server_, index, tls.handle(), error));
        return *this;
    }

    /* Redirects the requests of a socket that was added before: see bind_redirect. */
    Server &listener_redirect(std::size_t index, std::uint16_t https_port = 0)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_listener_redirect(server_, index, https_port, error));
        return *this;
    }

    /*
     * Listens on an address, such as "127.0.0.1:8080", "[::1]:0" or "unix:/run/app.sock": see
     * transom_server_bind. Clients can connect at once, and are served after the start.
     */
    Server &bind(std::string_view address)
    {
        detail::ErrorSlot error;
        error.check(transom_server_bind(server_, detail::CText(address), error));
        return *this;
    }

    /* Adds a listening socket. It belongs to the server unless this throws. */
    Server &listen_fd(transom_descriptor fd)
    {
        detail::ErrorSlot error;
        error.check(transom_server_listen_fd(server_, fd, error));
        return *this;
    }

    /*
     * Adds the listening sockets that a predecessor or systemd passed to this process, and returns
     * their number: see transom_server_listen_inherited.
     */
    std::size_t listen_inherited()
    {
        std::size_t count = 0;
        detail::ErrorSlot error;
        error.check(transom_server_listen_inherited(server_, &count, error));
        return count;
    }

    /* Compresses responses with the default settings: see transom_server_set_compression. */
    Server &compression()
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_compression(server_, nullptr, error));
        return *this;
    }

    /* Compresses responses: see transom_server_set_compression. */
    Server &compression(const Compression &settings)
    {
        detail::ErrorSlot error;
        error.check(transom_server_set_compression(server_, settings.handle(), error));
        return *this;
    }

    /* Counts the responses of this server in the metrics: see transom_server_add_metrics. */
    Server &add_metrics(const Metrics &metrics)
    {
        detail::check(transom_server_add_metrics(server_, metrics.handle()));
        return *this;
    }

    /* Adds a route that answers with the metrics as text: see transom_server_add_metrics_route. */
    Server &add_metrics_route(std::string_view pattern, const Metrics &metrics)
    {
        detail::ErrorSlot error;
        error.check(transom_server_add_metrics_route(server_, detail::CText(pattern), metrics.handle(), error));
        return *this;
    }

    /* Adds a live status page with a password: see transom_server_add_status_password. */
    Server &add_status(std::string_view path, const Metrics &metrics, std::string_view user, std::string_view password)
    {
        detail::ErrorSlot error;
        error.check(transom_server_add_status_password(server_, detail::CText(path), metrics.handle(),
                                                       detail::CText(user), detail::CText(password), error));
        return *this;
    }

    /* Adds a live status page for clients on this machine: see transom_server_add_status. */
    Server &add_status(std::string_view path, const Metrics &metrics)
    {
        detail::ErrorSlot error;
        error.check(transom_server_add_status(server_, detail::CText(path), metrics.handle(), nullptr, nullptr,
                                              nullptr, error));
        return *this;
    }

    /*
     * Adds a live status page for the clients of which `check`, a callable of `const Request &`, returns
     * true: see transom_server_add_status. If it throws, the client may not see the page.
     */
    template <class Check> Server &add_status(std::string_view path, const Metrics &metrics, Check &&check)
    {
        using Function = std::decay_t<Check>;
        static_assert(std::is_invocable_r_v<bool, const Function &, const Request &>,
                      "a check takes a const Request & and returns a bool; it is called as const");
        auto function = std::make_unique<Function>(std::forward<Check>(check));
        detail::ErrorSlot error;
        error.check(transom_server_add_status(
            server_, detail::CText(path), metrics.handle(),
            [](void *user_data, const transom_request *request) noexcept {
                bool may_see = false;
                guarded("a check", [&] { may_see = (*static_cast<const Function *>(user_data))(Request(request)); });
                return may_see;
            },
            function.release(), &detail::destroy<Function>, error));
        return *this;
    }

    /* Adds a route that tells a load balancer whether to send requests: see transom_server_add_readiness. */
    Server &add_readiness(std::string_view pattern)
    {
        detail::ErrorSlot error;
        error.check(transom_server_add_readiness(server_, detail::CText(pattern), error));
        return *this;
    }

    /* Adds a route that tells whether the server turns: see transom_server_add_liveness. */
    Server &add_liveness(std::string_view pattern)
    {
        detail::ErrorSlot error;
        error.check(transom_server_add_liveness(server_, detail::CText(pattern), error));
        return *this;
    }

    /* Tells systemd what the server does: see transom_server_notify_systemd. */
    Server &notify_systemd()
    {
        detail::check(transom_server_notify_systemd(server_));
        return *this;
    }

    /* Starts the server on `address` and on every socket that was added before. */
    void start(std::string_view address)
    {
        detail::ErrorSlot error;
        error.check(transom_server_start(server_, detail::CText(address), error));
    }

    /* Starts the server on the sockets that were added before. */
    void start()
    {
        detail::ErrorSlot error;
        error.check(transom_server_start(server_, nullptr, error));
    }

    /* Starts the server on `address`, and waits until a handler or another thread has stopped it. */
    void run(std::string_view address)
    {
        start(address);
        wait();
    }

    /*
     * Begins to stop the server, and returns at once. Requests in progress have `deadline` to
     * end, after which they are cut off. A handler may call this, a signal handler may not. Does
     * nothing to a server that was not started.
     */
    void stop(Milliseconds deadline = std::chrono::seconds(10))
    {
        const transom_status status = transom_server_stop(server_, deadline.count());
        if (status != TRANSOM_NOT_STARTED)
            detail::check(status);
    }

    /*
     * Waits until the server has stopped and its threads have ended, for `timeout` at most.
     * Returns false if it passes first.
     *
     * Errors: TRANSOM_NOT_STARTED, TRANSOM_WOULD_DEADLOCK on a thread of the server.
     */
    bool wait(Milliseconds timeout = forever)
    {
        const transom_status status = transom_server_wait(server_, timeout.count());
        if (status == TRANSOM_TIMEOUT)
            return false;
        detail::check(status);
        return true;
    }

    /* Returns true once the server was told to stop. */
    [[nodiscard]] bool is_stopping() const noexcept { return transom_server_is_stopping(server_); }

    /*
     * Connects to this server in memory, once it was started, for tests. The server has `peer` for the
     * address of the client, such as "127.0.0.1:50000"; without it the address is "unknown".
     *
     * Errors: TRANSOM_NOT_STARTED; TRANSOM_BAD_ADDRESS; TRANSOM_IO.
     */
    [[nodiscard]] Client connect(std::optional<std::string_view> peer = std::nullopt)
    {
        transom_client *client = nullptr;
        detail::ErrorSlot error;
        if (peer)
            error.check(transom_server_connect(server_, detail::CText(*peer), &client, error));
        else
            error.check(transom_server_connect(server_, nullptr, &client, error));
        return Client(client);
    }

    /* Returns the TCP port that the server listens on, the first if there are several, or 0. */
    [[nodiscard]] std::uint16_t port() const noexcept { return transom_server_port(server_); }

    /* Returns an address that the server listens on; empty if there is none with this index. */
    [[nodiscard]] std::string address(std::size_t index = 0) const
    {
        std::string text(transom_server_address(server_, index, nullptr, 0), '\0');
        /* The NUL that C writes after the text is that of the string. */
        transom_server_address(server_, index, text.data(), text.size() + 1);
        return text;
    }

    /*
     * Returns a copy of a listening socket, to hand it over to a successor: see
     * transom_server_listener. The descriptor belongs to the caller.
     *
     * Errors: TRANSOM_OUT_OF_RANGE if there is none, or the server listens no more.
     */
    [[nodiscard]] transom_descriptor listener(std::size_t index = 0) const
    {
        const transom_descriptor fd = transom_server_listener(server_, index);
        if (fd < 0)
            throw Error(TRANSOM_OUT_OF_RANGE, "there is no such listening socket");
        return fd;
    }

    /*
     * Notes that another process serves on the same sockets: see transom_server_note_successor.
     *
     * Errors: TRANSOM_NOT_STARTED.
     */
    void note_successor() { detail::check(transom_server_note_successor(server_)); }

    /* Returns the name of a socket that was passed to this process; empty if it has none. */
    [[nodiscard]] std::string listener_name(std::size_t index = 0) const
    {
        std::string text(transom_server_listener_name(server_, index, nullptr, 0), '\0');
        transom_server_listener_name(server_, index, text.data(), text.size() + 1);
        return text;
    }

    /*
     * Hands the server over to a successor, and returns its process id: see transom_server_hand_over.
     * Stop this server then.
     */
    std::int64_t hand_over(const std::vector<std::string> &argv, Milliseconds timeout = std::chrono::seconds(30))
    {
        std::vector<const char *> words;
        for (const std::string &word : argv)
            words.push_back(word.c_str());
        words.push_back(nullptr);
        std::int64_t pid = 0;
        detail::ErrorSlot error;
        error.check(transom_server_hand_over(server_, words.data(), timeout.count(), &pid, error));
        return pid;
    }

    /* Tells systemd that the program reloads, until notify_ready. */
    void notify_reloading() { detail::check(transom_server_notify_reloading(server_)); }

    /* Tells systemd that the program has reloaded. */
    void notify_ready() { detail::check(transom_server_notify_ready(server_)); }

    /* Shows a text in `systemctl status`. */
    void notify_status(std::string_view status)
    {
        detail::check(transom_server_notify_status(server_, detail::CText(status)));
    }

    /* Returns what became of the requests in progress. Errors: TRANSOM_NOT_STARTED. */
    [[nodiscard]] Report report() const
    {
        transom_report report{};
        report.size = sizeof report;
        detail::check(transom_server_report(server_, &report));
        return {report.finished, report.cut, report.pending};
    }

    /* Returns the counters of the server. Errors: TRANSOM_NOT_STARTED. */
    [[nodiscard]] Stats stats() const
    {
        transom_stats stats{};
        stats.size = sizeof stats;
        detail::check(transom_server_stats(server_, &stats));
        return stats;
    }

    /* Returns the connections of the server. Errors: TRANSOM_NOT_STARTED. */
    [[nodiscard]] std::vector<ConnectionInfo> connections() const
    {
        std::vector<ConnectionInfo> found;
        for (std::size_t count = 16;;) {
            found.resize(count);
            detail::check(transom_server_connections(server_, found.data(), sizeof found[0], found.size(), &count));
            if (count <= found.size()) {
                found.resize(count);
                return found;
            }
            count += count / 8;
        }
    }

    /* Returns the parts of the server that are stuck. Errors: TRANSOM_NOT_STARTED. */
    [[nodiscard]] std::vector<Stuck> stuck() const
    {
        std::vector<Stuck> found;
        for (std::size_t count = 8;;) {
            found.resize(count);
            detail::check(transom_server_stuck(server_, found.data(), sizeof found[0], found.size(), &count));
            if (count <= found.size()) {
                found.resize(count);
                return found;
            }
        }
    }

    /* Tells the watchdog the load of a part of the program: see transom_server_set_load. */
    void set_load(std::string_view name, std::uint64_t waiting, std::uint64_t begun)
    {
        detail::check(transom_server_set_load(server_, detail::CText(name), waiting, begun));
    }

    /* Has the watchdog watch the thread that takes these events: see transom_server_watch_events. */
    void watch(Events &events, std::string_view name, std::string_view why = {});

    /* Returns how many connections are in this state. */
    [[nodiscard]] std::uint64_t in_state(transom_connection_state state) const noexcept
    {
        return transom_server_in_state(server_, state);
    }

    /* Returns how many deadlines of this kind have passed. */
    [[nodiscard]] std::uint64_t expired(transom_deadline deadline) const noexcept
    {
        return transom_server_expired(server_, deadline);
    }

    /* Returns how many requests and connections were refused for this reason. */
    [[nodiscard]] std::uint64_t refused(transom_reject reject) const noexcept
    {
        return transom_server_refused(server_, reject);
    }

    /*
     * Fetches one request of the pull routes. Waits for one, for `timeout` at most. Returns
     * nothing if the timeout passes first, or if the server has stopped.
     */
    [[nodiscard]] std::optional<Pulled> next(Milliseconds timeout = forever)
    {
        const transom_request *request = nullptr;
        transom_responder *responder = nullptr;
        std::uint32_t route_id = 0;
        const transom_status status = transom_server_next(server_, &request, &responder, &route_id, timeout.count());
        if (status == TRANSOM_TIMEOUT || status == TRANSOM_STOPPED)
            return std::nullopt;
        detail::check(status);
        return Pulled{Request(request), Responder(responder), route_id};
    }

    /*
     * Returns a descriptor for poll(2), readable while next would not wait. It belongs to the
     * server. Returns -1 if it cannot be opened.
     */
    [[nodiscard]] transom_descriptor event_fd() noexcept { return transom_server_event_fd(server_); }

    /* Returns the server for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_server *handle() const noexcept { return server_; }

private:
    static transom_server *create()
    {
        if (transom_abi_version() != TRANSOM_ABI_VERSION)
            throw Error(TRANSOM_INVALID_ARGUMENT, "the library that is loaded is not that of transom.hpp");
        return detail::check(transom_server_new());
    }

    template <class F, class... Arguments>
    static void guarded(std::string_view what, const F &function, Arguments &&...arguments) noexcept
    {
        try {
            function(std::forward<Arguments>(arguments)...);
        } catch (...) {
            detail::log_exception(what);
        }
    }

    transom_server *server_;
};

/* ---- Events: reports on threads of the host ------------------------------------------ */

/* A transom_event: its kind is a transom_event_kind, its token that of a Responder or Writer. */
using Event = transom_event;

/*
 * A queue of events, for a host that wants no callbacks. Threads that wait in next must have
 * returned before it is destroyed: close it first.
 */
class Events {
public:
    Events() : events_(detail::check(transom_events_new())) {}
    Events(const Events &) = delete;
    Events &operator=(const Events &) = delete;
    ~Events() { transom_events_free(events_); }

    /* Reports TRANSOM_EVENT_GONE and TRANSOM_EVENT_OVER, with the token of the responder. */
    void watch(const Responder &responder)
    {
        detail::check(transom_events_watch_request(events_, responder.token()));
    }

    /* Reports TRANSOM_EVENT_WRITER_GONE, with the writer as a number. */
    void watch(const Writer &writer) { detail::check(transom_events_watch_writer(events_, writer.handle())); }

    /* Reports TRANSOM_EVENT_WRITABLE once, when the writer has room again. */
    void await_room(const Writer &writer) { detail::check(transom_events_await_room(events_, writer.handle())); }

    /* Reports TRANSOM_EVENT_READABLE once, when there is more of the body of a request to read. */
    void await_body(const Responder &responder)
    {
        detail::check(transom_events_await_body(events_, responder.token()));
    }

    /* Reports TRANSOM_EVENT_STOPPING once, when the server begins to stop. */
    void watch_stopping(const Responder &responder)
    {
        detail::check(transom_events_watch_stopping(events_, responder.token()));
    }

    /* Reports TRANSOM_EVENT_WRITER_STOPPING once, when the server begins to stop. */
    void watch_stopping(const Writer &writer)
    {
        detail::check(transom_events_watch_writer_stopping(events_, writer.handle()));
    }

    /* Reports TRANSOM_EVENT_UPGRADED_STOPPING once, when the server begins to stop. */
    void watch_stopping(const Upgraded &upgraded)
    {
        detail::check(transom_events_watch_upgraded_stopping(events_, upgraded.handle()));
    }

    /* Reports TRANSOM_EVENT_UPGRADED_READABLE once, when there is something to read. */
    void await_readable(const Upgraded &upgraded)
    {
        detail::check(transom_events_await_upgraded_readable(events_, upgraded.handle()));
    }

    /* Reports TRANSOM_EVENT_UPGRADED_WRITABLE once, when there is room again. */
    void await_writable(const Upgraded &upgraded)
    {
        detail::check(transom_events_await_upgraded_writable(events_, upgraded.handle()));
    }

    /* Reports TRANSOM_EVENT_WEBSOCKET_MESSAGE once, when there is a message to receive, or the end. */
    void await_message(const WebSocket &websocket)
    {
        detail::check(transom_events_await_websocket_message(events_, websocket.handle()));
    }

    /*
     * Receives a message as WebSocket::receive_into does with a timeout of 0; if there is none, this returns
     * TRANSOM_WOULD_BLOCK and reports as await_message does.
     */
    [[nodiscard]] transom_status receive_or_await(const WebSocket &websocket, void *buffer, std::size_t capacity,
                                                  std::size_t &length, bool &is_text, bool &is_last)
    {
        std::int32_t kind = 0;
        const transom_status status = transom_events_receive_websocket_message(
            events_, websocket.handle(), buffer, capacity, &kind, &is_last, &length);
        is_text = kind == TRANSOM_WEBSOCKET_TEXT;
        if (status != TRANSOM_GONE && status != TRANSOM_WOULD_BLOCK && status != TRANSOM_BUFFER_TOO_SMALL)
            detail::check(status);
        return status;
    }

    /* Reports TRANSOM_EVENT_WEBSOCKET_WRITABLE once, when there is room again. */
    void await_writable(const WebSocket &websocket)
    {
        detail::check(transom_events_await_websocket_writable(events_, websocket.handle()));
    }

    /* Reports TRANSOM_EVENT_WEBSOCKET_CLOSED once, when the connection has ended. */
    void watch_closed(const WebSocket &websocket)
    {
        detail::check(transom_events_watch_websocket_closed(events_, websocket.handle()));
    }

    /* Answers TRANSOM_EVENT_WATCHDOG: see Server::watch. */
    void answer(const Event &event) { detail::check(transom_events_answer(events_, event.token)); }

    /* Keeps log messages up to this level for next_log_message, and reports TRANSOM_EVENT_LOG. */
    void log(Level level) { detail::check(transom_log_to_events(events_, static_cast<std::int32_t>(level))); }

    /*
     * Takes one event. Waits for one, for `timeout` at most. Returns nothing if the timeout
     * passes first or the queue is closed.
     */
    [[nodiscard]] std::optional<Event> next(Milliseconds timeout = forever)
    {
        Event event{};
        return next(&event, 1, timeout) == 1 ? std::optional(event) : std::nullopt;
    }

    /* Takes up to `max` events, stores them in `out`, and returns their number; otherwise as next. */
    [[nodiscard]] std::size_t next(Event *out, std::uint32_t max, Milliseconds timeout = forever)
    {
        std::uint32_t count = 0;
        const transom_status status = transom_events_next(events_, out, max, timeout.count(), &count);
        if (status != TRANSOM_TIMEOUT && status != TRANSOM_STOPPED)
            detail::check(status);
        return count;
    }

    /* Returns a descriptor for poll(2), readable while events wait, or -1. It belongs to the queue. */
    [[nodiscard]] transom_descriptor fd() noexcept { return transom_events_fd(events_); }

    /* Closes the queue: next returns nothing from now on, also on threads that wait in it. */
    void close() noexcept { static_cast<void>(transom_events_close(events_)); }

    /* Returns the queue for functions of transom.h. It still belongs to this object. */
    [[nodiscard]] transom_events *handle() const noexcept { return events_; }

private:
    transom_events *events_;
};

inline void Server::watch(Events &events, std::string_view name, std::string_view why)
{
    detail::check(transom_server_watch_events(server_, events.handle(), detail::CText(name), detail::CText(why)));
}

} // namespace transom

#endif /* TRANSOM_HPP */
