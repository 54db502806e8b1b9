// A client that shows a JWT-SVID which SPIRE's workload API gave it: calls `echo`, prints the id of its session, and
// stays until its input ends.
//
//	bearer SOCKET URL AUDIENCE
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type bearer struct{ token string }

func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(request)
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(socket, url, audience string) error {
	ctx := context.Background()
	address := workloadapi.WithAddr("unix://" + socket)
	svid, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience}, address)
	if err != nil {
		return err
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "bearer", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{
		Endpoint:   url,
		HTTPClient: &http.Client{Transport: bearer{svid.Marshal()}},
	}
	session, err := client.Connect(ctx, transport, nil)
	if err != nil {
		return err
	}
	arguments := map[string]any{"text": "hello"}
	if _, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: arguments}); err != nil {
		return err
	}
	fmt.Println(svid.ID)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
