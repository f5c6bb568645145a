package example;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A ZooKeeper for one test class, in a process of its own, that does as it is told over HTTP. */
final class Parkeeper implements AutoCloseable {
    private final Process process;
    private final Path folder;
    private final String hosts;
    private final URI control;
    private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    /** Starts it; returns when it serves. Ports are those that are free. */
    Parkeeper(int keepers) throws IOException, InterruptedException {
        folder = Files.createTempDirectory("parkeeper");
        Path ready = folder.resolve("ready");
        List<String> command = new ArrayList<>(List.of(System.getProperty("parkeeper", "parkeeper").split(" ")));
        command.addAll(List.of("serve", "--backend-url", "memory://", "--log-level", "warning",
                "--ready-file", ready.toString(), "--control-addr", "127.0.0.1:0"));
        for (int i = 0; i < keepers; i++) {
            command.addAll(List.of("--bind-addr", "127.0.0.1:0"));
        }
        process = new ProcessBuilder(command).inheritIO().start();
        while (!Files.exists(ready)) {
            if (process.waitFor(10, TimeUnit.MILLISECONDS)) {
                throw new IOException("parkeeper ended with " + process.exitValue());
            }
        }
        List<String> lines = Files.readAllLines(ready); // one address a line, the control port last
        hosts = String.join(",", lines.subList(0, keepers));
        control = URI.create("http://" + lines.get(keepers).substring("control ".length()));
    }

    /** For clients. */
    String hosts() {
        return hosts;
    }

    /** Asks for a command; arguments and answer are JSON. */
    String ask(String command, String json) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(control.resolve("/" + command))
                .POST(HttpRequest.BodyPublishers.ofString(json)).build();
        HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IOException(response.body());
        }
        return response.body();
    }

    @Override
    public void close() throws IOException {
        process.destroy();
        process.onExit().join();
        Files.deleteIfExists(folder);
    }
}
