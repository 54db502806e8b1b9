import io.modelcontextprotocol.json.McpJsonDefaults;
import io.modelcontextprotocol.server.McpServer;
import io.modelcontextprotocol.server.McpServerFeatures.SyncPromptSpecification;
import io.modelcontextprotocol.server.McpServerFeatures.SyncResourceSpecification;
import io.modelcontextprotocol.server.McpServerFeatures.SyncToolSpecification;
import io.modelcontextprotocol.server.McpSyncServerExchange;
import io.modelcontextprotocol.server.transport.HttpServletSseServerTransportProvider;
import io.modelcontextprotocol.server.transport.HttpServletStreamableServerTransportProvider;
import io.modelcontextprotocol.server.transport.StdioServerTransportProvider;
import io.modelcontextprotocol.spec.McpSchema.CallToolRequest;
import io.modelcontextprotocol.spec.McpSchema.CallToolResult;
import io.modelcontextprotocol.spec.McpSchema.ElicitFormRequest;
import io.modelcontextprotocol.spec.McpSchema.GetPromptResult;
import io.modelcontextprotocol.spec.McpSchema.Prompt;
import io.modelcontextprotocol.spec.McpSchema.PromptArgument;
import io.modelcontextprotocol.spec.McpSchema.PromptMessage;
import io.modelcontextprotocol.spec.McpSchema.ReadResourceResult;
import io.modelcontextprotocol.spec.McpSchema.Resource;
import io.modelcontextprotocol.spec.McpSchema.Role;
import io.modelcontextprotocol.spec.McpSchema.ServerCapabilities;
import io.modelcontextprotocol.spec.McpSchema.TextContent;
import io.modelcontextprotocol.spec.McpSchema.TextResourceContents;
import io.modelcontextprotocol.spec.McpSchema.Tool;
import jakarta.servlet.http.HttpServlet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.catalina.Context;
import org.apache.catalina.LifecycleException;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.net.SSLHostConfig;
import org.apache.tomcat.util.net.SSLHostConfigCertificate;
import org.apache.tomcat.util.net.SSLHostConfigCertificate.Type;

/**
 * A small MCP server on the official Java SDK.
 *
 * <pre>Server [--http PORT [--tls FOLDER] | --sse PORT]    (without a port: stdio)</pre>
 */
class Server {
    interface Run {
        Object apply(McpSyncServerExchange exchange, Map<String, Object> arguments) throws Exception;
    }

    static SyncToolSpecification tool(String name, Run run) {
        Tool tool = Tool.builder(name, Map.of("type", "object")).build();
        return new SyncToolSpecification(tool, (exchange, request) -> call(run, exchange, request));
    }

    static CallToolResult call(Run run, McpSyncServerExchange exchange, CallToolRequest request) {
        try {
            String text = String.valueOf(run.apply(exchange, request.arguments()));
            return new CallToolResult(List.of(new TextContent(text)), false, null, null);
        } catch (Exception error) {
            return new CallToolResult(List.of(new TextContent(error.getMessage())), true, null, null);
        }
    }

    static double number(Object value) {
        return ((Number) value).doubleValue();
    }

    static void build(McpServer.SyncSpecification<?> server) {
        Map<String, Object> question =
            Map.of("type", "object", "properties", Map.of("name", Map.of("type", "string")));
        server
            .serverInfo("example", "1")
            .capabilities(new ServerCapabilities.Builder()
                .tools(false).resources(false, false).prompts(false).build())
            .tools(
                tool("echo", (exchange, in) -> in.get("text")),
                tool("add", (exchange, in) -> number(in.get("a")) + number(in.get("b"))),
                tool("fail", (exchange, in) -> { throw new Exception("this tool always fails"); }),
                tool("slow", (exchange, in) -> {
                    Thread.sleep((long) (1000 * number(in.get("seconds"))));
                    return "done";
                }),
                tool("ask", (exchange, in) -> exchange.createElicitation(
                    ElicitFormRequest.builder("Who are you?", question).build()).action()))
            .resources(new SyncResourceSpecification(
                Resource.builder("note://one", "one").build(),
                (exchange, request) -> new ReadResourceResult(
                    List.of(new TextResourceContents(request.uri(), "text/plain", "a note")))))
            .prompts(new SyncPromptSpecification(
                new Prompt("greet", "greets", List.of(new PromptArgument("name", "whom", true))),
                (exchange, request) -> new GetPromptResult("a greeting", List.of(
                    new PromptMessage(Role.USER, new TextContent("Greet " + request.arguments().get("name") + "."))))))
            .build();
    }

    /** Serves on a port of this host, with the certificate of a folder if there is one. */
    static void listen(int port, String folder, HttpServlet servlet) throws LifecycleException {
        Connector connector = new Connector();
        connector.setProperty("address", "127.0.0.1");
        connector.setPort(port);
        if (folder != null) {
            SSLHostConfig host = new SSLHostConfig();
            SSLHostConfigCertificate pair = new SSLHostConfigCertificate(host, Type.UNDEFINED);
            pair.setCertificateFile(folder + "/server.pem");
            pair.setCertificateKeyFile(folder + "/server.key");
            host.addCertificate(pair);
            connector.addSslHostConfig(host);
            connector.setSecure(true);
            connector.setScheme("https");
            connector.setProperty("SSLEnabled", "true");
        }
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(System.getProperty("java.io.tmpdir"));
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "mcp", servlet).setAsyncSupported(true);
        context.addServletMappingDecoded("/*", "mcp");
        tomcat.start();
    }

    public static void main(String[] arguments) throws Exception {
        List<String> words = List.of(arguments);
        int port = words.size() > 1 ? Integer.parseInt(words.get(1)) : 0;
        if (port == 0) {
            build(McpServer.sync(new StdioServerTransportProvider(McpJsonDefaults.getMapper())));
        } else if (words.get(0).equals("--http")) {
            HttpServletStreamableServerTransportProvider streamable =
                HttpServletStreamableServerTransportProvider.builder().mcpEndpoint("/mcp").build();
            build(McpServer.sync(streamable));
            listen(port, words.size() > 3 ? words.get(3) : null, streamable);
        } else {
            HttpServletSseServerTransportProvider legacy =
                HttpServletSseServerTransportProvider.builder().sseEndpoint("/sse").messageEndpoint("/messages").build();
            build(McpServer.sync(legacy));
            listen(port, null, legacy);
        }
        new CountDownLatch(1).await(); // Over stdio the SDK ends the process when standard input ends.
    }
}
