import io.modelcontextprotocol.client.McpClient;
import io.modelcontextprotocol.client.McpSyncClient;
import io.modelcontextprotocol.client.transport.HttpClientSseClientTransport;
import io.modelcontextprotocol.client.transport.HttpClientStreamableHttpTransport;
import io.modelcontextprotocol.client.transport.ServerParameters;
import io.modelcontextprotocol.client.transport.StdioClientTransport;
import io.modelcontextprotocol.json.McpJsonDefaults;
import io.modelcontextprotocol.json.McpJsonMapper;
import io.modelcontextprotocol.json.TypeRef;
import io.modelcontextprotocol.spec.McpClientTransport;
import io.modelcontextprotocol.spec.McpSchema.CallToolRequest;
import io.modelcontextprotocol.spec.McpSchema.ClientCapabilities;
import io.modelcontextprotocol.spec.McpSchema.ElicitResult;
import io.modelcontextprotocol.spec.McpSchema.GetPromptRequest;
import io.modelcontextprotocol.spec.McpSchema.JSONRPCMessage;
import io.modelcontextprotocol.spec.McpSchema.ReadResourceRequest;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import reactor.core.publisher.Mono;

/**
 * A small MCP client on the official Java SDK.
 *
 * <pre>Client --truth FILE --scenario FILE [--mode legacy] (--http URL | --sse URL | -- COMMAND ...)</pre>
 *
 * Plays the scenario and writes every message that the SDK's transport took or gave to the truth file, one
 * {@code {"dir": "sent" | "received", "message": {...}}} a line. The SDK is not changed: the log sits between its
 * session and its transport. At the end {@code {"done": true}} is written, and the connection is kept until
 * standard input ends.
 */
class Client {
    static final McpJsonMapper JSON = McpJsonDefaults.getMapper();
    static Path truth;

    static synchronized void line(String text) {
        try {
            Files.writeString(truth, text + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    static void note(String direction, JSONRPCMessage message) {
        try {
            line("{\"dir\":\"" + direction + "\",\"message\":" + JSON.writeValueAsString(message) + "}");
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** A transport of the SDK that notes what passes. */
    record Tap(McpClientTransport transport) implements McpClientTransport {
        public Mono<Void> connect(Function<Mono<JSONRPCMessage>, Mono<JSONRPCMessage>> handler) {
            return transport.connect(message -> handler.apply(message.doOnNext(each -> note("received", each))));
        }

        public Mono<Void> sendMessage(JSONRPCMessage message) {
            return Mono.defer(() -> {
                note("sent", message);
                return transport.sendMessage(message);
            });
        }

        public Mono<Void> closeGracefully() {
            return transport.closeGracefully();
        }

        public <T> T unmarshalFrom(Object data, TypeRef<T> type) {
            return transport.unmarshalFrom(data, type);
        }

        public List<String> protocolVersions() {
            return transport.protocolVersions();
        }
    }

    static McpClientTransport transport(Map<String, String> options, List<String> command) {
        if (options.containsKey("--http")) {
            String url = options.get("--http");
            int path = url.indexOf('/', url.indexOf("://") + 3);
            return HttpClientStreamableHttpTransport.builder(url.substring(0, path)).endpoint(url.substring(path)).build();
        }
        if (options.containsKey("--sse")) {
            String url = options.get("--sse");
            int path = url.indexOf('/', url.indexOf("://") + 3);
            return HttpClientSseClientTransport.builder(url.substring(0, path)).sseEndpoint(url.substring(path)).build();
        }
        List<String> arguments = command.subList(1, command.size());
        return new StdioClientTransport(ServerParameters.builder(command.get(0)).args(arguments).build(), JSON);
    }

    @SuppressWarnings("unchecked")
    static void play(McpSyncClient client, Map<String, Object> step) {
        String what = (String) step.get("do");
        String name = (String) step.get("name");
        Map<String, Object> arguments = (Map<String, Object>) step.getOrDefault("arguments", Map.of());
        try {
            switch (what) {
                case "parallel" -> ((List<Map<String, Object>>) step.get("of")).stream()
                    .map(part -> CompletableFuture.runAsync(() -> play(client, part), task -> new Thread(task).start()))
                    .toList().forEach(CompletableFuture::join);
                case "list_tools" -> client.listTools(null);
                case "call_tool" -> client.callTool(new CallToolRequest(name, arguments));
                case "list_resources" -> client.listResources(null);
                case "read_resource" -> client.readResource(new ReadResourceRequest((String) step.get("uri")));
                case "list_prompts" -> client.listPrompts(null);
                case "get_prompt" -> client.getPrompt(new GetPromptRequest(name, arguments));
                case "ping" -> client.ping();
                default -> throw new IllegalArgumentException(what);
            }
        } catch (RuntimeException error) {
            System.err.println(what + ": " + error.getMessage()); // The scenario asks for errors, too.
        }
    }

    public static void main(String[] words) throws IOException {
        Map<String, String> options = new HashMap<>();
        int next = 0;
        for (; next < words.length && !words[next].equals("--"); next += 2) {
            options.put(words[next], words[next + 1]);
        }
        List<String> command = Arrays.asList(words).subList(Math.min(next + 1, words.length), words.length);
        truth = Path.of(options.get("--truth"));
        Files.deleteIfExists(truth);
        McpSyncClient client = McpClient.sync(new Tap(transport(options, command)))
            .capabilities(new ClientCapabilities.Builder().elicitation().build())
            .elicitation(request -> new ElicitResult(ElicitResult.Action.ACCEPT, Map.of("name", "client")))
            .build();
        client.initialize();
        String scenario = Files.readString(Path.of(options.get("--scenario")));
        for (Map<String, Object> step : JSON.readValue(scenario, new TypeRef<List<Map<String, Object>>>() {})) {
            play(client, step);
        }
        line("{\"done\":true}");
        System.in.readAllBytes();
        client.closeGracefully();
        System.exit(0);
    }
}
