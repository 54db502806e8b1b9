// A small MCP server on mcp-go.
//
//	mcpgo-server [--http PORT [--tls FOLDER] | --sse PORT]    (without a port: stdio)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"path/filepath"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func text(said string) *mcp.CallToolResult { return mcp.NewToolResultText(said) }

func build() *server.MCPServer {
	made := server.NewMCPServer("example", "1", server.WithElicitation())
	made.AddTool(mcp.NewTool("echo", mcp.WithString("text")), func(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text(request.GetString("text", "")), nil
	})
	made.AddTool(mcp.NewTool("add", mcp.WithNumber("a"), mcp.WithNumber("b")), func(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text(fmt.Sprint(request.GetInt("a", 0) + request.GetInt("b", 0))), nil
	})
	made.AddTool(mcp.NewTool("fail"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, errors.New("this tool always fails")
	})
	made.AddTool(mcp.NewTool("slow", mcp.WithNumber("seconds")), func(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		time.Sleep(time.Duration(request.GetFloat("seconds", 0) * float64(time.Second)))
		return text("done"), nil
	})
	made.AddTool(mcp.NewTool("ask"), func(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if _, ok := server.InputResponse(request.Params.InputResponses, "who"); ok {
			return text("answered"), nil
		}
		question := mcp.ElicitationParams{Message: "Who are you?", RequestedSchema: map[string]any{
			"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}},
		}}
		return server.NewInputRequestBuilder("state").Elicit("who", question).ToolResult(), nil
	})
	made.AddResource(mcp.NewResource("note://one", "one"), func(_ context.Context, request mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: request.Params.URI, Text: "a note"}}, nil
	})
	made.AddPrompt(mcp.NewPrompt("greet", mcp.WithArgument("name")), func(_ context.Context, request mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		said := mcp.NewTextContent("Greet " + request.Params.Arguments["name"] + ".")
		return mcp.NewGetPromptResult("a greeting", []mcp.PromptMessage{mcp.NewPromptMessage(mcp.RoleUser, said)}), nil
	})
	return made
}

func main() {
	streamable := flag.Int("http", 0, "port for streamable HTTP")
	legacy := flag.Int("sse", 0, "port for HTTP+SSE")
	tls := flag.String("tls", "", "folder with server.pem and server.key")
	flag.Parse()
	made := build()
	address := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	switch {
	case *streamable != 0:
		var options []server.StreamableHTTPOption
		if *tls != "" {
			pair := func(name string) string { return filepath.Join(*tls, name) }
			options = append(options, server.WithTLSCert(pair("server.pem"), pair("server.key")))
		}
		log.Fatal(server.NewStreamableHTTPServer(made, options...).Start(address(*streamable)))
	case *legacy != 0:
		log.Fatal(server.NewSSEServer(made).Start(address(*legacy)))
	default:
		if err := server.ServeStdio(made); err != nil {
			log.Fatal(err)
		}
	}
}
