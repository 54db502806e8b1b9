// Calls an MCP server over HTTPS on many connections at once, or is such a server. No SDK; see python/load.py.
//
//	load serve PORT FOLDER
//	load call PORT AUTHORITY CONNECTIONS CALLS FIRST [wait | tls12]
//
// Each connection is one of a goroutine of its own, whose stack grows anew for each call. With `wait` each call of the
// one connection waits for a line of standard input; with `tls12` no newer TLS is spoken.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const body = `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"text %d"},"_meta":{` +
	`"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"load","version":"1"},` +
	`"io.modelcontextprotocol/clientCapabilities":{}}}}`

func serve(port, folder string) {
	handler := http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		var call struct {
			ID     int
			Params struct{ Arguments struct{ Text string } }
		}
		if err := json.NewDecoder(request.Body).Decode(&call); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		response.Header().Set("Content-Type", "application/json")
		const text = `{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":%q}]}}`
		fmt.Fprintf(response, text, call.ID, call.Params.Arguments.Text)
	})
	pair := func(name string) string { return filepath.Join(folder, name) }
	log.Fatal(http.ListenAndServeTLS("127.0.0.1:"+port, pair("server.pem"), pair("server.key"), handler))
}

// deep calls do with a stack of many frames, which the runtime has to move while it grows.
func deep(frames int, do func()) byte {
	var frame [256]byte
	if frames == 0 {
		do()
		return frame[0]
	}
	return deep(frames-1, do) + frame[frames%256]
}

func post(client *http.Client, url string, id int, tell func(int, int)) {
	own := 0
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		own = got.Conn.LocalAddr().(*net.TCPAddr).Port
	}}
	text := fmt.Sprintf(body, id, id)
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "POST", url, bytes.NewBufferString(text))
	check(err)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo",
	} {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	check(err)
	said, err := io.ReadAll(response.Body)
	check(err)
	check(response.Body.Close())
	if bytes.Contains(said, fmt.Appendf(nil, `"text %d"`, id)) {
		tell(id, own)
	}
}

func call(port, authority string, connections, calls, first int, how string) {
	pem, err := os.ReadFile(authority)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	url := "https://127.0.0.1:" + port + "/mcp"
	config := &tls.Config{RootCAs: roots}
	if how == "tls12" {
		config.MaxVersion = tls.VersionTLS12
	}
	lines := bufio.NewScanner(os.Stdin)
	var mutex sync.Mutex
	tell := func(id, own int) {
		mutex.Lock()
		defer mutex.Unlock()
		fmt.Println(id, own)
	}
	opening := make(chan struct{}, 64)
	var group, open sync.WaitGroup
	open.Add(connections)
	started := time.Now()
	for index := range connections {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}}
			for number := range calls {
				if how == "wait" && !lines.Scan() {
					break
				}
				if number == 0 {
					opening <- struct{}{}
				}
				var inner sync.WaitGroup
				inner.Go(func() { deep(200, func() { post(client, url, first+index*calls+number, tell) }) })
				inner.Wait()
				if number == 0 {
					<-opening
				}
			}
			open.Done()
			open.Wait()
			client.CloseIdleConnections()
		})
	}
	group.Wait()
	fmt.Println(time.Since(started).Nanoseconds())
}

func main() {
	words := os.Args[1:]
	if words[0] == "serve" {
		serve(words[1], words[2])
	}
	var numbers []int
	for _, word := range words[3:6] {
		number, err := strconv.Atoi(word)
		check(err)
		numbers = append(numbers, number)
	}
	how := append(words, "")[6]
	call(words[1], words[2], numbers[0], numbers[1], numbers[2], how)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
