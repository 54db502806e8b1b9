import io.modelcontextprotocol.json.McpJsonDefaults;
import io.modelcontextprotocol.server.McpServer;
import io.modelcontextprotocol.server.McpServerFeatures.SyncPromptSpecification;
import io.modelcontextprotocol.server.McpServerFeatures.SyncResourceSpecification;
import io.modelcontextprotocol.server.McpServerFeatures.SyncToolSpecification;
import io.modelcontextprotocol.server.McpSyncServerExchange;
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
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/** A small MCP server on the official Java SDK, over stdio. */
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

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> question =
            Map.of("type", "object", "properties", Map.of("name", Map.of("type", "string")));
        McpServer.sync(new StdioServerTransportProvider(McpJsonDefaults.getMapper()))
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
        new CountDownLatch(1).await(); // The SDK ends the process when standard input ends.
    }
}
