// Package notes writes what a client sent and received to its truth file.
package notes

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
)

// Notes writes the truth file.
type Notes struct {
	mutex sync.Mutex
	out   *os.File
}

// Create begins a truth file.
func Create(path string) *Notes {
	out, err := os.Create(path)
	check(err)
	return &Notes{out: out}
}

// Done ends the log.
func (n *Notes) Done() {
	n.line(map[string]any{"done": true})
}

func (n *Notes) line(record map[string]any) {
	line, err := json.Marshal(record)
	check(err)
	n.mutex.Lock()
	defer n.mutex.Unlock()
	_, err = n.out.Write(append(line, '\n'))
	check(err)
}

// Message notes JSON text that is a JSON-RPC message or a batch of them; other text is not noted.
func (n *Notes) Message(direction string, text []byte) {
	var batch []json.RawMessage
	if json.Unmarshal(text, &batch) != nil {
		batch = []json.RawMessage{text}
	}
	for _, one := range batch {
		var message struct{ JSONRPC string }
		if json.Unmarshal(one, &message) == nil && message.JSONRPC != "" {
			n.line(map[string]any{"dir": direction, "message": one})
		}
	}
}

// Write takes the lines of the SDK's logging transport.
func (n *Notes) Write(log []byte) (int, error) {
	for line := range strings.Lines(string(log)) {
		kind, text, _ := strings.Cut(line, ": ")
		if direction, ok := map[string]string{"read": "received", "write": "sent"}[kind]; ok {
			n.Message(direction, []byte(text))
		}
	}
	return len(log), nil
}

// Client is an HTTP client whose messages are noted.
func (n *Notes) Client() *http.Client {
	return &http.Client{Transport: roundTripper{n}}
}

// roundTripper notes the messages of HTTP requests and responses.
type roundTripper struct{ notes *Notes }

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		body, err := io.ReadAll(request.Body)
		check(err)
		request.Body = io.NopCloser(bytes.NewReader(body))
		r.notes.Message("sent", body)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err == nil {
		stream := strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream")
		response.Body = &body{ReadCloser: response.Body, notes: r.notes, stream: stream}
	}
	return response, err
}

// body notes the messages of a response while the SDK reads it.
type body struct {
	io.ReadCloser
	notes  *Notes
	stream bool
	held   []byte
	data   []byte
}

func (b *body) Read(into []byte) (int, error) {
	read, err := b.ReadCloser.Read(into)
	b.held = append(b.held, into[:read]...)
	if b.stream {
		b.events()
	} else if err != nil {
		b.notes.Message("received", b.held)
		b.held = nil
	}
	return read, err
}

// Close notes what was read of a response whose reader knew its end before the stream told.
func (b *body) Close() error {
	if !b.stream && len(b.held) > 0 {
		b.notes.Message("received", b.held)
		b.held = nil
	}
	return b.ReadCloser.Close()
}

// events notes what whole server-sent events carry.
func (b *body) events() {
	for {
		line, rest, whole := bytes.Cut(b.held, []byte("\n"))
		if !whole {
			return
		}
		b.held = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			b.data = append(b.data, data...)
		} else if len(line) == 0 {
			b.notes.Message("received", b.data)
			b.data = nil
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
