// A small MCP server on the official Go SDK.
//
//	server [--http PORT | --sse PORT] [--tls FOLDER]    (without a port: stdio)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"path/filepath"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type none struct{}

type text struct {
	Text string `json:"text"`
}

type numbers struct {
	A int `json:"a"`
	B int `json:"b"`
}

type seconds struct {
	Seconds float64 `json:"seconds"`
}

func tool[In any](server *mcp.Server, name string, run func(context.Context, *mcp.CallToolRequest, In) (string, error)) {
	mcp.AddTool(server, &mcp.Tool{Name: name}, func(ctx context.Context, request *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		said, err := run(ctx, request, in)
		if err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: said}}}, nil, nil
	})
}

func build() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "example", Version: "1"}, nil)
	tool(server, "echo", func(_ context.Context, _ *mcp.CallToolRequest, in text) (string, error) {
		return in.Text, nil
	})
	tool(server, "add", func(_ context.Context, _ *mcp.CallToolRequest, in numbers) (string, error) {
		return fmt.Sprint(in.A + in.B), nil
	})
	tool(server, "fail", func(context.Context, *mcp.CallToolRequest, none) (string, error) {
		return "", errors.New("this tool always fails")
	})
	tool(server, "slow", func(_ context.Context, _ *mcp.CallToolRequest, in seconds) (string, error) {
		time.Sleep(time.Duration(in.Seconds * float64(time.Second)))
		return "done", nil
	})
	tool(server, "ask", func(ctx context.Context, request *mcp.CallToolRequest, _ none) (string, error) {
		answer, err := request.Session.Elicit(ctx, &mcp.ElicitParams{Message: "Who are you?"})
		if err != nil {
			return "", err
		}
		return answer.Action, nil
	})
	server.AddResource(&mcp.Resource{Name: "one", URI: "note://one"}, func(_ context.Context, request *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: request.Params.URI, Text: "a note"}}}, nil
	})
	server.AddPrompt(&mcp.Prompt{Name: "greet", Arguments: []*mcp.PromptArgument{{Name: "name"}}}, func(_ context.Context, request *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		said := "Greet " + request.Params.Arguments["name"] + "."
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: said}}}}, nil
	})
	return server
}

func main() {
	streamable := flag.Int("http", 0, "port for streamable HTTP")
	legacy := flag.Int("sse", 0, "port for HTTP+SSE")
	tls := flag.String("tls", "", "folder with server.pem and server.key")
	flag.Parse()
	server := build()
	give := func(*http.Request) *mcp.Server { return server }
	listen := func(port int, handler http.Handler) {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if *tls == "" {
			log.Fatal(http.ListenAndServe(address, handler))
		}
		pair := func(name string) string { return filepath.Join(*tls, name) }
		log.Fatal(http.ListenAndServeTLS(address, pair("server.pem"), pair("server.key"), handler))
	}
	switch {
	case *streamable != 0:
		listen(*streamable, mcp.NewStreamableHTTPHandler(give, nil))
	case *legacy != 0:
		listen(*legacy, mcp.NewSSEHandler(give, nil))
	default:
		if err := server.Run(context.Background(), &mcp.StdioTransport{}); err != nil {
			log.Fatal(err)
		}
	}
}
