// A client of tests/clients/tls.py: HttpClient and HttpsURLConnection over TLS.
//
//     java TlsClient.java AUTHORITY CLIENT_P12 PORT MUTUAL_PORT ...
//
// Two ports for each server. Fails with an exception if an answer is not as it should be.

import java.io.FileInputStream;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.Arrays;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;

public class TlsClient {
    static final char[] PASSWORD = "secret".toCharArray();

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static SSLContext context(String authority, String client) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null);
        try (FileInputStream file = new FileInputStream(authority)) {
            trusted.setCertificateEntry("a", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        KeyManager[] keys = null;
        if (client != null) {
            KeyStore own = KeyStore.getInstance("PKCS12");
            try (FileInputStream file = new FileInputStream(client)) {
                own.load(file, PASSWORD);
            }
            KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            factory.init(own, PASSWORD);
            keys = factory.getKeyManagers();
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys, trust.getTrustManagers(), null);
        return context;
    }

    static HttpClient client(SSLContext context, String version) {
        SSLParameters parameters = new SSLParameters();
        parameters.setProtocols(new String[] {version});
        return HttpClient.newBuilder().sslContext(context).sslParameters(parameters)
            .connectTimeout(Duration.ofSeconds(20)).build();
    }

    static String get(HttpClient client, String address) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(address)).timeout(Duration.ofSeconds(20)).build();
        return client.send(request, HttpResponse.BodyHandlers.ofString()).body();
    }

    static void talk(String authority, String own, String port, String mutual) throws Exception {
        String site = "https://localhost:" + port;
        for (String version : new String[] {"TLSv1.3", "TLSv1.2"}) {
            SSLContext anonymous = context(authority, null);
            HttpClient client = client(anonymous, version);
            for (int round = 0; round < 5; round++) {
                String facts = get(client, site + "/");
                check(facts.startsWith("https " + version + " name=localhost alpn=http/1.1"), facts);
            }
            for (int size : new int[] {0, 1, 16384, 16385, 1000000}) {
                byte[] body = new byte[size];
                Arrays.fill(body, (byte) 'j');
                HttpRequest request = HttpRequest.newBuilder(URI.create(site + "/echo"))
                    .expectContinue(size == 16384).timeout(Duration.ofSeconds(20))
                    .POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
                byte[] echo = client.send(request, HttpResponse.BodyHandlers.ofByteArray()).body();
                check(Arrays.equals(echo, body), version + ": an echo of " + size + " bytes");
            }
            String known = get(client(context(authority, own), version), "https://localhost:" + mutual + "/");
            check(known.contains(" certificates=1 "), known);
            try {
                String stranger = get(client(anonymous, version), "https://localhost:" + mutual + "/");
                throw new AssertionError("without a certificate: " + stranger);
            } catch (java.io.IOException refused) {
                // As it should be.
            }
        }
        HttpsURLConnection connection = (HttpsURLConnection) new URL(site + "/size/70000").openConnection();
        connection.setSSLSocketFactory(context(authority, null).getSocketFactory());
        check(connection.getInputStream().readAllBytes().length == 70000, "HttpsURLConnection");
    }

    public static void main(String[] args) throws Exception {
        for (int at = 2; at < args.length; at += 2) {
            talk(args[0], args[1], args[at], args[at + 1]);
        }
        System.out.println("good");
        System.exit(0);
    }
}
