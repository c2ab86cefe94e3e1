/*
 * TLS: settings, handshakes, certificates of clients, new certificates, and the redirect. Python's ssl
 * module is the client.
 */
#include "common.h"

/* The folder of the certificates, and a path in it. */
static char folder[1024];

static const char *at(const char *name)
{
    static char paths[4][1200];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Reads a file, to its end, with a NUL after it. */
static const char *pem(const char *name)
{
    static char texts[2][8192];
    static unsigned next;
    char *text = texts[next++ % 2];
    FILE *file = fopen(at(name), "rb");
    CHECK(file != NULL);
    text[fread(text, 1, sizeof texts[0] - 1, file)] = '\0';
    fclose(file);
    return text;
}

static transom_tls *with_files(const char *certificate, const char *key)
{
    transom_tls *tls = transom_tls_new();
    CHECK(tls != NULL);
    OK(transom_tls_add_files(tls, at(certificate), at(key)));
    return tls;
}

/* Answers with what the handshake settled. */
static void tell(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_tls_info tls = {.size = sizeof tls};
    transom_bytes scheme = transom_request_scheme(request), own;
    char text[512];
    CHECK(!transom_request_tls(NULL, &tls) && !transom_request_tls(request, NULL));
    tls.size = 8;
    CHECK(!transom_request_tls(request, &tls) && tls.version.data == NULL);
    tls.size = sizeof tls;
    if (!transom_request_tls(request, &tls)) {
        CHECK(transom_request_tls_peer_certificate(request, 0).data == NULL);
        OK(transom_responder_send_text(responder, 200, "none"));
        return;
    }
    own = transom_request_tls_peer_certificate(request, 0);
    CHECK((own.data != NULL) == (tls.peer_certificates > 0));
    CHECK(transom_request_tls_peer_certificate(request, tls.peer_certificates).data == NULL);
    CHECK(transom_request_tls_peer_certificate(NULL, 0).data == NULL);
    /* A certificate in DER is a sequence. */
    CHECK(own.data == NULL || (own.len > 100 && own.data[0] == 0x30));
    CHECK(tls.cipher.len > 8 && memcmp(tls.cipher.data, "TLS", 3) == 0);
    snprintf(text, sizeof text, "%.*s %.*s %.*s %.*s %d %d", TRANSOM_PRINT(scheme), TRANSOM_PRINT(tls.version),
             TRANSOM_PRINT(tls.server_name), TRANSOM_PRINT(tls.alpn), tls.peer_certificates > 0, (int)tls.resumed);
    OK(transom_responder_send_text(responder, 200, text));
}

/* The client: a process that reads lines with requests, and answers each with a line. */
static FILE *to_client, *from_client;

static void start_client(void)
{
    char program[1200];
    int in[2], out[2];
    snprintf(program, sizeof program, "%s/../../bindings/c/tests/support/tls_client.py", folder);
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    switch (fork()) {
    case -1: CHECK(!"fork"); break;
    case 0:
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", program, folder, (char *)NULL);
        _exit(127);
    default:
        close(in[0]);
        close(out[1]);
        to_client = fdopen(in[1], "w");
        from_client = fdopen(out[0], "r");
    }
}

static void begin(uint16_t port, const char *name, const char *options)
{
    fprintf(to_client, "%d %s %s\n", (int)port, name, options);
    CHECK(fflush(to_client) == 0);
}

/* Returns the line that the client answers. */
static const char *line(void)
{
    static char text[1024];
    CHECK(fgets(text, sizeof text, from_client) != NULL);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

#define ASK(port, name, options, expected)                                                                            \
    do {                                                                                                              \
        const char *got_ = (begin(port, name, options), line());                                                      \
        if (strstr(got_, expected) == NULL) {                                                                         \
            fprintf(stderr, "%s:%d: \"%s\", without \"%s\"\n", __FILE__, __LINE__, got_, expected);                   \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

/* Each exchange that a handler answered had TLS. */
static void check_scheme(void *user_data UNUSED, const transom_exchange *exchange)
{
    CHECK(exchange->status_code != 200 || is(exchange->scheme, "https"));
}

/* Starts a server with this TLS, and gives the handle of the TLS back at once. */
static transom_server *serve(const char *model, transom_tls *tls, uint16_t *port)
{
    transom_server *server = transom_server_new();
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/", tell, NULL, NULL, NULL));
    OK(transom_server_on_exchange(server, check_scheme, NULL, NULL));
    OK(transom_server_bind_tls(server, "127.0.0.1:0", tls, NULL));
    OK(transom_server_start(server, NULL, NULL));
    *port = transom_server_port(server);
    return server;
}

static void versions_and_names(void)
{
    static const char *const models[] = {"event", "threads", "sequential"};
    size_t model;
    uint16_t port;
    for (model = 0; model < 3; model++) {
        transom_tls *tls = with_files("localhost.pem", "localhost.key");
        transom_server *server;
        OK(transom_tls_add_pem(tls, pem("example.pem"), TRANSOM_NUL_TERMINATED, pem("example.key"),
                               TRANSOM_NUL_TERMINATED));
        server = serve(models[model], tls, &port);
        transom_tls_free(tls);
        ASK(port, "localhost", "version=1.3 alpn=h2,http/1.1", "localhost https TLSv1.3 localhost http/1.1 0 0");
        ASK(port, "www.example.org", "version=1.2", "example.org https TLSv1.2 www.example.org  0 0");
        ASK(port, "localhost", "resume=1", "TLSv1.3 localhost  0 1");
        ASK(port, "localhost", "alpn=h2", "failed: ");
        transom_server_free(server);
    }
    {
        static const transom_bytes protocols[] = {TRANSOM_TEXT("mine"), TRANSOM_TEXT("http/1.1")};
        transom_tls *tls = with_files("rsa.pem", "rsa.key");
        transom_server *server;
        OK(transom_tls_set_protocols(tls, protocols, 2));
        OK(transom_tls_set_least_version(tls, "1.3", NULL));
        server = serve("event", tls, &port);
        ASK(port, "localhost", "alpn=http/1.1,mine", " mine ");
        ASK(port, "localhost", "version=1.2", "failed: ");
        transom_tls_free(tls);
        transom_server_free(server);
    }
}

static void certificates_of_clients(void)
{
    transom_tls *tls = with_files("localhost.pem", "localhost.key");
    transom_server *server;
    uint16_t port;
    OK(transom_tls_add_client_authorities_file(tls, at("authority.pem")));
    OK(transom_tls_add_client_revocations_file(tls, at("revoked.crl")));
    server = serve("event", tls, &port);
    transom_tls_free(tls);
    ASK(port, "localhost", "own=client", "localhost  1 0");
    ASK(port, "localhost", "", "failed: ");
    ASK(port, "localhost", "own=revoked version=1.2", "failed: ");
    ASK(port, "localhost", "own=stranger version=1.2", "failed: ");
    transom_server_free(server);

    tls = with_files("localhost.pem", "localhost.key");
    OK(transom_tls_add_client_authorities(tls, pem("authority.pem"), TRANSOM_NUL_TERMINATED));
    OK(transom_tls_set_client_certificates_optional(tls));
    server = serve("threads", tls, &port);
    ASK(port, "localhost", "own=client", "localhost  1 0");
    ASK(port, "localhost", "", "localhost  0 0");
    transom_server_free(server);
    transom_tls_free(tls);
}

static void copy(const char *from, const char *to)
{
    const char *text = pem(from);
    FILE *file = fopen(to, "wb");
    CHECK(file != NULL && fwrite(text, 1, strlen(text), file) == strlen(text) && fclose(file) == 0);
}

/* New certificates come by a call, or by themselves if that is asked for. */
static void new_certificates(void)
{
    transom_tls *tls = transom_tls_new();
    transom_error *error = NULL;
    transom_server *server;
    uint16_t port;
    copy("localhost.pem", "site.pem");
    copy("localhost.key", "site.key");
    OK(transom_tls_add_files(tls, "site.pem", "site.key"));
    server = serve("event", tls, &port);
    ASK(port, "localhost", "", "localhost https");
    copy("example.pem", "site.pem");
    CHECK_STATUS(transom_tls_reload(tls, &error), TRANSOM_BAD_TLS);
    CHECK(strstr(transom_error_message(error), "site.key: the key is not that of the certificate") != NULL);
    transom_error_free(error);
    ASK(port, "localhost", "", "localhost https");
    copy("example.key", "site.key");
    ASK(port, "localhost", "", "localhost https");
    OK(transom_tls_reload(tls, NULL));
    ASK(port, "example.org", "", "example.org https");
    CHECK_STATUS(transom_tls_replace(tls, "", 0, "", 0, &error), TRANSOM_BAD_TLS);
    CHECK(strcmp(transom_error_message(error), "TLS: the certificate: there is no certificate in PEM in it") == 0);
    transom_error_free(error);
    OK(transom_tls_replace(tls, pem("renewed.pem"), TRANSOM_NUL_TERMINATED, pem("renewed.key"), TRANSOM_NUL_TERMINATED,
                           NULL));
    ASK(port, "localhost", "", "localhost https");
    transom_tls_free(tls);
    transom_server_free(server);

    tls = transom_tls_new();
    OK(transom_tls_add_files(tls, "site.pem", "site.key"));
    OK(transom_tls_set_watch(tls, 0));
    server = serve("event", tls, &port);
    transom_tls_free(tls);
    ASK(port, "example.org", "", "example.org https");
    copy("localhost.pem", "site.pem");
    copy("localhost.key", "site.key");
    ASK(port, "localhost", "", "localhost https");
    transom_server_free(server);
}

static void refused(transom_tls *tls, const char *reason)
{
    transom_server *server = transom_server_new();
    transom_error *error = NULL;
    CHECK_STATUS(transom_server_bind_tls(server, "127.0.0.1:0", tls, &error), TRANSOM_BAD_TLS);
    if (strstr(transom_error_message(error), reason) == NULL) {
        fprintf(stderr, "\"%s\", without \"%s\"\n", transom_error_message(error), reason);
        exit(1);
    }
    transom_error_free(error);
    transom_server_free(server);
    transom_tls_free(tls);
}

static void what_cannot_be_used(void)
{
    static const transom_bytes empty = {NULL, 0};
    transom_tls *tls;
    refused(transom_tls_new(), "TLS: certificates: there is none");
    refused(with_files("none.pem", "localhost.key"), "none.pem: No such file");
    refused(with_files("localhost.key", "localhost.key"), "localhost.key: there is no certificate in PEM");
    refused(with_files("localhost.pem", "localhost.pem"), "localhost.pem: there is no private key in PEM");
    refused(with_files("localhost.pem", "renewed.key"), "renewed.key: the key is not that of the certificate in ");
    refused(with_files("localhost.pem", "passphrase.key"), "passphrase.key: the key has a passphrase");
    tls = with_files("localhost.pem", "localhost.key");
    OK(transom_tls_set_client_certificates_optional(tls));
    refused(tls, "certificates of clients: give the authorities");
    tls = with_files("localhost.pem", "localhost.key");
    OK(transom_tls_set_protocols(tls, &empty, 1));
    refused(tls, "protocols: there are at most 16");
}

/* Misuse is a status. */
static void misuse(void)
{
    transom_server *server = transom_server_new();
    transom_tls *tls = with_files("localhost.pem", "localhost.key"), *stale = transom_tls_new();
    transom_error *error = NULL;
    const char *text = "x";
    transom_tls_free(stale);
    transom_tls_free(stale);
    transom_tls_free(NULL);
    CHECK_STATUS(transom_tls_add_files(stale, text, text), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_tls_reload(stale, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_server_bind_tls(server, "127.0.0.1:0", stale, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_tls_add_files(NULL, text, text), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_files(tls, NULL, text), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_files(tls, text, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_pem(NULL, text, 1, text, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_pem(tls, NULL, 1, text, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_pem(tls, text, 1, NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_client_authorities_file(NULL, text), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_client_authorities_file(tls, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_client_authorities(NULL, text, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_client_authorities(tls, NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_client_revocations_file(NULL, text), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_add_client_revocations_file(tls, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_set_client_certificates_optional(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_set_protocols(NULL, NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_set_protocols(tls, NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_set_least_version(NULL, "1.2", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_set_least_version(tls, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_set_least_version(tls, "1.1", &error), TRANSOM_BAD_TLS);
    CHECK(strcmp(transom_error_message(error), "TLS: version \"1.1\": the versions are 1.2 and 1.3") == 0);
    transom_error_free(error);
    CHECK_STATUS(transom_tls_set_watch(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_set_watch(tls, -2), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_tls_set_watch(tls, TRANSOM_FOREVER), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_tls_reload(NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_replace(NULL, text, 1, text, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_replace(tls, NULL, 1, text, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_tls_replace(tls, text, 1, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    /* A reload reads the files, and the settings are fixed. */
    OK(transom_tls_reload(tls, NULL));
    CHECK_STATUS(transom_tls_add_files(tls, text, text), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_tls_set_watch(tls, 1), TRANSOM_ALREADY_STARTED);

    CHECK_STATUS(transom_server_bind_tls(NULL, "127.0.0.1:0", tls, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_bind_tls(server, NULL, tls, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_bind_tls(server, "127.0.0.1:0", NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_bind_tls(server, "nowhere", tls, NULL), TRANSOM_BAD_ADDRESS);
    CHECK_STATUS(transom_server_bind_redirect(NULL, "127.0.0.1:0", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_bind_redirect(server, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_bind_redirect(server, "127.0.0.1:0", 0, &error), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(error), "a TCP socket with TLS") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_server_set_listener_tls(NULL, 0, tls, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_listener_tls(server, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_listener_tls(server, 0, tls, NULL), TRANSOM_OUT_OF_RANGE);
    CHECK_STATUS(transom_server_set_listener_redirect(NULL, 0, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_listener_redirect(server, 0, 1, NULL), TRANSOM_OUT_OF_RANGE);
    transom_server_free(server);
    transom_tls_free(tls);
    CHECK(transom_has_feature("tls"));
}

/* Returns the port of an address of the server. */
static uint16_t port_of(transom_server *server, size_t index)
{
    char address[64];
    CHECK(transom_server_address(server, index, address, sizeof address) > 0);
    return (uint16_t)atoi(strrchr(address, ':') + 1);
}

static void wrong_ports_and_redirects(void)
{
    static struct reply reply;
    transom_tls *tls = with_files("localhost.pem", "localhost.key");
    transom_server *server = transom_server_new();
    char location[64];
    int fd, index;
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8) == 0);
    OK(transom_server_route(server, "GET", "/", tell, NULL, NULL, NULL));
    OK(transom_server_bind_tls(server, "127.0.0.1:0", tls, NULL));
    OK(transom_server_bind_redirect(server, "127.0.0.1:0", 0, NULL));
    OK(transom_server_listen_fd(server, fd, NULL));
    OK(transom_server_set_listener_tls(server, 2, tls, NULL));
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    OK(transom_server_set_listener_redirect(server, 3, 8443, NULL));
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    OK(transom_server_start(server, NULL, NULL));
    CHECK_STATUS(transom_server_bind_tls(server, "127.0.0.1:0", tls, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_listener_tls(server, 0, tls, NULL), TRANSOM_ALREADY_STARTED);
    transom_tls_free(tls);

    ASK(port_of(server, 0), "localhost", "", "https TLSv1.3");
    ASK(port_of(server, 2), "localhost", "", "https TLSv1.3");
    ASK(port_of(server, 4), "localhost", "", "failed: ");
    for (index = 0; index < 5; index++) {
        fd = connect_to(port_of(server, (size_t)index));
        say(fd, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        hear(fd, &reply);
        if (index == 0 || index == 2) {
            CHECK(reply.status == 400 && strstr(reply.body, "https") != NULL);
        } else if (index == 4) {
            CHECK(reply.status == 200 && strcmp(reply.body, "none") == 0);
        } else {
            int port = index == 1 ? (int)port_of(server, 0) : 8443;
            snprintf(location, sizeof location, "https://localhost:%d/", port);
            CHECK(reply.status == 308 && strstr(reply.text, location) != NULL);
        }
    }
    transom_server_free(server);
}

/* What the handshake settled is in the records of batches, after the body. */
static void batches(void)
{
    transom_tls *tls = with_files("localhost.pem", "localhost.key");
    transom_server *server = transom_server_new();
    transom_request_record head;
    transom_tls_record settled;
    transom_response_record answer = {32, 204, 0, 0, 0, 0, 0};
    static uint64_t buf[8192];
    const char *at_end;
    size_t len;
    uint32_t count;
    int32_t result;
    OK(transom_tls_add_client_authorities_file(tls, at("authority.pem")));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/", 7), NULL));
    OK(transom_server_bind_tls(server, "127.0.0.1:0", tls, NULL));
    OK(transom_server_start(server, NULL, NULL));
    begin(transom_server_port(server), "localhost", "own=client");
    OK(transom_server_next_batch(server, buf, sizeof buf, 4, PATIENCE_MS, &count, &len));
    memcpy(&head, buf, sizeof head);
    CHECK(count == 1 && head.record_len == len && head.flags == (TRANSOM_HTTPS | TRANSOM_TLS) && head.body_len == 0);
    at_end = (const char *)buf + sizeof head + head.method_len + head.target_len + head.path_len + head.query_len +
             head.headers_len + head.peer_len;
    memcpy(&settled, at_end, sizeof settled);
    CHECK(settled.version_len == 7 && settled.server_name_len == 9 && settled.alpn_len == 0 && settled.resumed == 0);
    at_end += sizeof settled;
    CHECK(memcmp(at_end, "TLSv1.3TLS13_", 13) == 0 || memcmp(at_end, "TLSv1.3TLS_", 11) == 0);
    at_end += settled.version_len + settled.cipher_len;
    CHECK(memcmp(at_end, "localhost", 9) == 0 && settled.certificate_count >= 1);
    at_end += 9;
    for (; settled.certificate_count > 0; settled.certificate_count--) {
        memcpy(&count, at_end, sizeof count);
        at_end += sizeof count;
        CHECK(count > 100 && *at_end == 0x30);
        at_end += count;
    }
    CHECK((size_t)(at_end - (const char *)buf + 7) / 8 * 8 == len);
    answer.token = head.token;
    OK(transom_server_respond_batch(server, &answer, sizeof answer, &result, 1, &count));
    OK(result);
    CHECK(strcmp(line(), "localhost ") == 0);
    transom_server_free(server);
    transom_tls_free(tls);
}

int main(void)
{
    char *slash;
    snprintf(folder, sizeof folder, "%s", __FILE__);
    slash = strstr(folder, "bindings/c/tests/tls.c");
    CHECK(slash != NULL);
    strcpy(slash, "tests/certificates");
    start_client();
    misuse();
    what_cannot_be_used();
    versions_and_names();
    certificates_of_clients();
    new_certificates();
    wrong_ports_and_redirects();
    batches();
    fclose(to_client);
    fclose(from_client);
    return 0;
}
