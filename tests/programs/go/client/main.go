// A small MCP client on the official Go SDK.
//
//	client --truth FILE --scenario FILE [--mode MODE] (--http URL | --sse URL | -- COMMAND ...)
//
// Plays the scenario and writes every message it sent or received to the truth file, one
// {"dir": "sent" | "received", "message": {...}} a line. The SDK is not changed: over stdio its own
// logging transport is used, over HTTP the log sits in the http.RoundTripper. At the end
// {"done": true} is written, and the connection is kept until standard input ends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"sync"

	"example/notes"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type step struct {
	Do        string         `json:"do"`
	Name      string         `json:"name"`
	URI       string         `json:"uri"`
	Arguments map[string]any `json:"arguments"`
	Of        []step         `json:"of"`
}

func play(ctx context.Context, session *mcp.ClientSession, step step) {
	var err error
	switch step.Do {
	case "parallel":
		var group sync.WaitGroup
		for _, part := range step.Of {
			group.Go(func() { play(ctx, session, part) })
		}
		group.Wait()
	case "list_tools":
		_, err = session.ListTools(ctx, nil)
	case "call_tool":
		arguments := step.Arguments
		if arguments == nil {
			arguments = map[string]any{}
		}
		_, err = session.CallTool(ctx, &mcp.CallToolParams{Name: step.Name, Arguments: arguments})
	case "list_resources":
		_, err = session.ListResources(ctx, nil)
	case "read_resource":
		_, err = session.ReadResource(ctx, &mcp.ReadResourceParams{URI: step.URI})
	case "list_prompts":
		_, err = session.ListPrompts(ctx, nil)
	case "get_prompt":
		arguments := map[string]string{}
		for name, value := range step.Arguments {
			arguments[name] = fmt.Sprint(value)
		}
		_, err = session.GetPrompt(ctx, &mcp.GetPromptParams{Name: step.Name, Arguments: arguments})
	case "ping":
		err = session.Ping(ctx, nil)
	}
	if err != nil {
		log.Printf("%s: %v", step.Do, err) // The scenario asks for errors, too.
	}
}

func main() {
	truth := flag.String("truth", "", "file for the messages")
	scenario := flag.String("scenario", "", "file with what to play")
	mode := flag.String("mode", "auto", "legacy, auto or a revision")
	streamable := flag.String("http", "", "URL of a streamable HTTP server")
	legacy := flag.String("sse", "", "URL of an HTTP+SSE server")
	flag.Parse()
	notes := notes.Create(*truth)

	tapped := notes.Client()
	var transport mcp.Transport
	switch {
	case *streamable != "":
		transport = &mcp.StreamableClientTransport{Endpoint: *streamable, HTTPClient: tapped}
	case *legacy != "":
		transport = &mcp.SSEClientTransport{Endpoint: *legacy, HTTPClient: tapped}
	default:
		command := exec.Command(flag.Arg(0), flag.Args()[1:]...)
		command.Stderr = os.Stderr
		transport = &mcp.LoggingTransport{Transport: &mcp.CommandTransport{Command: command}, Writer: notes}
	}
	ctx := context.Background()
	client := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, &mcp.ClientOptions{
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "client"}}, nil
		},
	})
	options := &mcp.ClientSessionOptions{}
	switch *mode {
	case "legacy":
		options.ProtocolVersion = "2025-11-25"
	case "auto":
	default:
		options.ProtocolVersion = *mode
	}
	session, err := client.Connect(ctx, transport, options)
	check(err)
	text, err := os.ReadFile(*scenario)
	check(err)
	var steps []step
	check(json.Unmarshal(text, &steps))
	for _, step := range steps {
		play(ctx, session, step)
	}
	notes.Done()
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := session.Close(); err != nil {
		log.Print(err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
