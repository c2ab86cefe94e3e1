import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Sends a form with java.net.http, which leaves its bytes to the program: the file has its name by RFC 8187 too. */
class Send {
    public static void main(String[] args) throws Exception {
        var body = new ByteArrayOutputStream();
        String name = "form-data; name=\"file\"; filename=\"na.bin\"; filename*=UTF-8''na%22me%20%E2%82%AC.bin";
        write(body, "--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nh\u00e9llo\r\n");
        write(body, "--b\r\nContent-Disposition: " + name + "\r\nContent-Type: application/x-test\r\n\r\n");
        body.write(Files.readAllBytes(Path.of(args[1])));
        write(body, "\r\n--b--\r\n");
        var request = HttpRequest.newBuilder(URI.create(args[0]))
                .header("Content-Type", "multipart/form-data; boundary=b")
                .POST(HttpRequest.BodyPublishers.ofByteArray(body.toByteArray()));
        System.out.print(HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString()).body());
    }

    private static void write(ByteArrayOutputStream body, String text) throws Exception {
        body.write(text.getBytes(StandardCharsets.UTF_8));
    }
}
