package walve

import (
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bodokaiser/walve/internal/h2enabled"
	"github.com/bodokaiser/walve/internal/stream"
)

// Limits of the http.Server that Listen and Serve run. A request that becomes
// a WebSocket has its header and nothing else, so that they can be tight.
const (
	serverHeaderTimeout  = 10 * time.Second // the TLS handshake and, again, the request's header
	serverIdleTimeout    = 60 * time.Second // between the requests of a connection that is not upgraded
	serverMaxHeaderBytes = 64 << 10
)

// Listen listens on the TCP or unix socket at address, as net.Listen does, and
// returns a Listener that accepts the WebSocket connections that come there,
// on whatever path. It is Listen of a zero Listener.
func Listen(network, address string) (*Listener, error) {
	l := new(Listener)
	if err := l.Listen(network, address); err != nil {
		return nil, err
	}
	return l, nil
}

// NewListener returns a Listener that accepts the WebSocket connections that
// come in through inner, which it owns from then on. It is Serve of a zero
// Listener.
func NewListener(inner net.Listener) *Listener {
	l := new(Listener)
	l.Serve(inner) // a zero Listener is neither closed nor short of certificates
	return l
}

// Listen listens on the TCP or unix socket at address, as net.Listen does, and
// serves what comes in there in the background with an http.Server of its
// own, until Close or Shutdown. The server bounds the time for the TLS handshake
// and for the request's header to 10 s each, the header to 64 KiB and the time
// between two requests that are not upgraded to 60 s; the times of Fallback's
// requests are up to Fallback. What net/http has to say about panics and
// failures to accept goes to the log package's standard logger.
//
// In a program that imports package enable the server takes HTTP/2 too, over
// TLS and, from clients that know, without: up to 1,000 WebSockets on one
// connection (RFC 8441). One that is not read holds at most 4 MiB.
//
// Listen and Serve may be called several times for several sockets.
func (l *Listener) Listen(network, address string) error {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	inner, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	return l.Serve(inner)
}

// Serve is Listen on inner, which may be any net.Listener: one on a unix
// socket, one that was handed over by a supervisor, or a tls.Listener, in which
// case TLSConfig stays nil. It returns at once, and Close closes inner.
// If inner fails for good, that ends the Listener, as Close does, and Accept
// returns why. If Serve fails, inner is closed.
func (l *Listener) Serve(inner net.Listener) error {
	server, err := l.serve(inner)
	if err != nil {
		inner.Close()
		return err
	}
	if l.tlsConfig != nil {
		inner = tlsListener{inner, l.tlsConfig}
	}
	go func() {
		defer l.serving.Done()
		err := server.Serve(inner)
		if !errors.Is(err, http.ErrServerClosed) {
			_, waiting := l.end(cause(err))
			l.stopServer(server) // the other sockets
			eachAtOnce(waiting, l.turnAway)
		}
	}()
	return nil
}

// serve returns the server, made if need be, and counts inner in.
func (l *Listener) serve(inner net.Listener) (*http.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.initLocked()
	addr := inner.Addr()
	fail := func(err error) (*http.Server, error) {
		return nil, &net.OpError{Op: "listen", Net: addr.Network(), Addr: addr, Err: err}
	}
	if l.closed {
		return fail(net.ErrClosed)
	}
	if l.server == nil {
		if l.TLSConfig != nil {
			c := l.TLSConfig
			if len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
				return fail(errors.New("walve: TLSConfig has no certificate"))
			}
			l.tlsConfig = offering(c, h2enabled.Server)
		}
		l.server = &http.Server{
			Handler:           l,
			ReadHeaderTimeout: serverHeaderTimeout,
			IdleTimeout:       serverIdleTimeout,
			MaxHeaderBytes:    serverMaxHeaderBytes,
			ErrorLog:          log.New(quietLog{}, "", 0),
		}
		offerHTTP2(l.server)
	}
	if l.addr == nil {
		l.addr = addr
	}
	l.serving.Add(1)
	return l.server, nil
}

// cause returns what is below a *net.OpError, which will be in one again.
func cause(err error) error {
	if oe, ok := err.(*net.OpError); ok {
		return oe.Err
	}
	return err
}

// offering returns a copy of c with HTTP/1.1 for ALPN, behind h2 if that is
// true. Protocols that are not HTTP, such as acme-tls/1, stay.
func offering(c *tls.Config, h2 bool) *tls.Config {
	c = c.Clone()
	protos := []string{"http/1.1"}
	if h2 {
		protos = []string{"h2", "http/1.1"}
	}
	for _, p := range c.NextProtos {
		if p != "h2" && !slices.Contains(protos, p) {
			protos = append(protos, p)
		}
	}
	c.NextProtos = protos
	return c
}

// tlsListener is tls.NewListener with a Transport below each tls.Conn, so that
// write deadlines are recoverable.
type tlsListener struct {
	net.Listener
	config *tls.Config
}

func (l tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(stream.NewServerTransport(c), l.config), nil
}

// quietLog writes to the log package's standard logger what is about this
// program, and leaves out what a stranger can make it say as often as he likes.
type quietLog struct{}

func (quietLog) Write(p []byte) (int, error) {
	line := string(p)
	if !strings.HasPrefix(line, "http: TLS handshake error") && !strings.HasPrefix(line, "timeout waiting for SETTINGS") &&
		(!strings.HasPrefix(line, "http2: ") || strings.HasPrefix(line, "http2: panic")) {
		log.Print(line)
	}
	return len(p), nil
}
