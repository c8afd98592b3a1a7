package peers_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// A library is a WebSocket library that is not walve.
type library struct {
	name       string
	dial       func(ctx context.Context, url string, config *tls.Config) (end, error)
	upgrade    func(http.ResponseWriter, *http.Request) (end, error)
	checksText bool // it refuses text that is not UTF-8
}

// An end is a library's end of a connection. It reads in the background, so
// that control frames are seen at all times.
type end interface {
	send(op walve.Opcode, p []byte) error
	// sendFragments sends a message whose frames are cut where parts are.
	sendFragments(op walve.Opcode, parts ...[]byte) error
	// ping sends a Ping and waits for its Pong.
	ping(context.Context) error
	// close sends a Close frame and goes on reading.
	close(code walve.StatusCode, reason string) error
	events() <-chan event
	// release ends what the library has begun, without a closing handshake.
	release()
}

// An event is what an end has read: a message, or err and nothing after it. A
// Close frame is a *walve.CloseError.
type event struct {
	op  walve.Opcode
	p   []byte
	err error
}

var libraries = []library{coderLibrary, gobwasLibrary, gwsLibrary}

// A pair is a connection between walve and a library.
type pair struct {
	library
	walve *walve.Conn
	end
}

// receive waits for what the library's end reads next.
func (p pair) receive(t testing.TB) event {
	t.Helper()
	select {
	case e := <-p.events():
		return e
	case <-time.After(timeout):
		t.Fatal("the library has read nothing")
		panic("unreachable")
	}
}

// overLibraries runs f as a subtest with every library, in both roles, over ws
// and wss. connect makes a new pair.
func overLibraries(t *testing.T, f func(t *testing.T, connect func(testing.TB) pair)) {
	for _, l := range libraries {
		for _, scheme := range []string{"ws", "wss"} {
			var server, client *tls.Config
			if scheme == "wss" {
				server, client = serverTLS(), clientTLS()
			}
			t.Run(l.name+" serves/"+scheme, func(t *testing.T) {
				ends := make(chan end, 1)
				url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					e, err := l.upgrade(w, r)
					if err != nil {
						t.Error(err)
						return
					}
					ends <- e
				}), server)
				f(t, func(t testing.TB) pair {
					c := dial(t, &walve.Dialer{URL: url, TLSConfig: client})
					e := <-ends
					t.Cleanup(e.release)
					return pair{l, c, e}
				})
			})
			t.Run(l.name+" dials/"+scheme, func(t *testing.T) {
				ln, d := listen(t, server)
				f(t, func(t testing.TB) pair {
					e, err := l.dial(bound(t), d.URL, client)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(e.release)
					return pair{l, accept(t, ln), e}
				})
			})
		}
	}
}
