package walve

import (
	"context"
	"net/http"
	"reflect"

	"github.com/bodokaiser/walve/internal/h2enabled"
)

// Limits of HTTP/2 in the http.Server that Listen and Serve run. A stream that
// nobody reads keeps its window of the connection's, so that there must be room
// for some of those; nothing is allocated before it is needed. (net/http
// documents that the windows are below 4 MiB, and takes larger ones.)
const (
	serverStreams      = 1000
	serverStreamWindow = 4 << 20 // 100 MB/s over 40 ms
	serverConnWindow   = 4 * serverStreamWindow
	serverFrameSize    = 16 << 10
)

// offerHTTP2 has server take HTTP/2, by ALPN over TLS and by prior knowledge
// without, if it would take WebSockets there: clients that come with HTTP/2 to a
// server that does not are better off with HTTP/1.1.
func offerHTTP2(server *http.Server) {
	if !h2enabled.Server {
		return
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          serverStreams,
		MaxReadFrameSize:              serverFrameSize,
		MaxReceiveBufferPerStream:     serverStreamWindow,
		MaxReceiveBufferPerConnection: serverConnWindow,
	}
	setConnectProtocol(server.HTTP2)
}

// setConnectProtocol sets the field EnableConnectProtocol of config, an
// *http.HTTP2Config, if this version of Go has it.
func setConnectProtocol(config any) {
	f := reflect.ValueOf(config).Elem().FieldByName("EnableConnectProtocol")
	if f.Kind() == reflect.Bool {
		f.SetBool(true)
	}
}

// pumpConn runs the Conn that accept makes for r, over HTTP/2.
func (l *Listener) pumpConn(w http.ResponseWriter, r *http.Request) {
	l.count(1)
	defer l.count(-1)
	if c := l.accept(w, r); c != nil {
		c.runPump()
	}
}

func (l *Listener) count(n int) {
	l.mu.Lock()
	l.pumping += n
	l.mu.Unlock()
}

// stopServer ends the sockets of server, and the requests that are not
// upgraded yet. If some Conns share their connection with others by HTTP/2, the
// requests are left alone, and each connection ends with its last Conn.
func (l *Listener) stopServer(server *http.Server) {
	l.mu.Lock()
	pumping := l.pumping
	l.mu.Unlock()
	if pumping == 0 {
		server.Close()
		return
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	server.Shutdown(over)
}
