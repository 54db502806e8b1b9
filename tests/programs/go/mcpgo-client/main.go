// A small MCP client on mcp-go.
//
//	mcpgo-client --truth FILE --scenario FILE [--mode MODE] (--http URL | --sse URL | -- COMMAND ...)
//
// Plays the scenario as `client` does, with the same truth file. The SDK is not changed: over stdio the log sits
// between its transport and the pipes of the server, over HTTP in the http.RoundTripper.
package main

import (
	"bufio"
	"bytes"
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
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

type step struct {
	Do        string         `json:"do"`
	Name      string         `json:"name"`
	URI       string         `json:"uri"`
	Arguments map[string]any `json:"arguments"`
	Of        []step         `json:"of"`
}

type elicited struct{}

func (elicited) Elicit(context.Context, mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	return &mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{
		Action: mcp.ElicitationResponseActionAccept, Content: map[string]any{"name": "client"},
	}}, nil
}

func play(ctx context.Context, session *client.Client, step step) {
	var err error
	switch step.Do {
	case "parallel":
		var group sync.WaitGroup
		for _, part := range step.Of {
			group.Go(func() { play(ctx, session, part) })
		}
		group.Wait()
	case "list_tools":
		_, err = session.ListTools(ctx, mcp.ListToolsRequest{})
	case "call_tool":
		_, err = session.CallTool(ctx, mcp.CallToolRequest{
			Params: mcp.CallToolParams{Name: step.Name, Arguments: step.Arguments},
		})
	case "list_resources":
		_, err = session.ListResources(ctx, mcp.ListResourcesRequest{})
	case "read_resource":
		_, err = session.ReadResource(ctx, mcp.ReadResourceRequest{Params: mcp.ReadResourceParams{URI: step.URI}})
	case "list_prompts":
		_, err = session.ListPrompts(ctx, mcp.ListPromptsRequest{})
	case "get_prompt":
		arguments := map[string]string{}
		for name, value := range step.Arguments {
			arguments[name] = fmt.Sprint(value)
		}
		_, err = session.GetPrompt(ctx, mcp.GetPromptRequest{
			Params: mcp.GetPromptParams{Name: step.Name, Arguments: arguments},
		})
	case "ping":
		err = session.Ping(ctx)
	}
	if err != nil {
		log.Printf("%s: %v", step.Do, err) // The scenario asks for errors, too.
	}
}

// sent notes each message before it goes to the server.
type sent struct {
	io.WriteCloser
	notes *notes.Notes
}

func (s sent) Write(message []byte) (int, error) {
	s.notes.Message("sent", bytes.TrimSpace(message))
	return s.WriteCloser.Write(message)
}

// received notes each line that the server wrote, and hands it on.
func received(from io.Reader, notes *notes.Notes) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		lines := bufio.NewReader(from)
		for {
			line, err := lines.ReadBytes('\n')
			notes.Message("received", bytes.TrimSpace(line))
			if _, broken := writer.Write(line); broken != nil || err != nil {
				_ = writer.CloseWithError(err)
				return
			}
		}
	}()
	return reader
}

// stdio starts a server and gives a transport over its pipes.
func stdio(words []string, notes *notes.Notes) transport.Interface {
	command := exec.Command(words[0], words[1:]...)
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	check(err)
	output, err := command.StdoutPipe()
	check(err)
	check(command.Start())
	return transport.NewIO(received(output, notes), sent{input, notes}, io.NopCloser(&bytes.Buffer{}))
}

func main() {
	truth := flag.String("truth", "", "file for the messages")
	scenario := flag.String("scenario", "", "file with what to play")
	mode := flag.String("mode", "auto", "legacy, auto or a revision")
	streamable := flag.String("http", "", "URL of a streamable HTTP server")
	legacy := flag.String("sse", "", "URL of an HTTP+SSE server")
	flag.Parse()
	notes := notes.Create(*truth)
	ctx := context.Background()

	var over transport.Interface
	var err error
	switch {
	case *streamable != "":
		// As a client does that wants to be asked: the server's requests come on a stream of their own.
		options := []transport.StreamableHTTPCOption{transport.WithHTTPBasicClient(notes.Client())}
		if *mode == "legacy" {
			options = append(options, transport.WithContinuousListening())
		}
		over, err = transport.NewStreamableHTTP(*streamable, options...)
	case *legacy != "":
		over, err = transport.NewSSE(*legacy, transport.WithHTTPClient(notes.Client()))
	default:
		over = stdio(flag.Args(), notes)
	}
	check(err)
	options := []client.ClientOption{client.WithElicitationHandler(elicited{})}
	switch *mode {
	case "legacy":
		options = append(options, client.WithProtocolVersion("2025-11-25"))
	case "auto":
	default:
		options = append(options, client.WithProtocolVersion(*mode))
	}
	session := client.NewClient(over, options...)
	check(session.Start(ctx))
	initialize := mcp.InitializeRequest{}
	initialize.Params.ClientInfo = mcp.Implementation{Name: "example", Version: "1"}
	_, err = session.Initialize(ctx, initialize)
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
