package h2_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	_ "github.com/bodokaiser/walve/enable"
	"github.com/bodokaiser/walve/internal/h2"
	"github.com/bodokaiser/walve/internal/streamtest"
	"github.com/bodokaiser/walve/internal/testcert"
)

// serve runs net/http's server for HTTP/2, over TLS or not, and returns what
// dials it.
func serve(t testing.TB, secure bool, maxStreams int, handler http.HandlerFunc) h2.DialFunc {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: handler, Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			// By default a stream that a handler does not read takes all of its
			// connection's window, and two that wait for each other wait for ever.
			MaxReceiveBufferPerStream: 256 << 10, MaxReceiveBufferPerConnection: 1 << 20,
		},
	}
	if secure {
		server.Protocols.SetHTTP2(true)
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{testcert.Get()}}
		go server.ServeTLS(ln, "", "")
	} else {
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(ln)
	}
	t.Cleanup(func() { server.Close() })
	return func(ctx context.Context) (*h2.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
		if err != nil {
			return nil, err
		}
		if secure {
			nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		}
		return h2.New(ctx, nc, h2.Config{IdleTimeout: 100 * time.Millisecond})
	}
}

// relay joins the streams that ask for one path two by two.
type relay struct {
	mu      sync.Mutex
	waiting map[string]chan *http.Request
}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != "CONNECT" || req.Header.Get(":protocol") != "websocket" || req.ProtoMajor != 2 {
		http.Error(w, "not RFC 8441", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	path := req.URL.Path
	first := r.waiting[path]
	mine := make(chan *http.Request, 1)
	back := r.waiting[path+" back"]
	if first == nil {
		back = make(chan *http.Request, 1)
		back <- req
		r.waiting[path], r.waiting[path+" back"] = mine, back
	} else {
		delete(r.waiting, path)
	}
	r.mu.Unlock()
	w.WriteHeader(200)
	http.NewResponseController(w).Flush()
	if first != nil {
		first <- req
		copyTo(w, (<-back).Body)
		return
	}
	copyTo(w, (<-mine).Body)
}

func copyTo(w http.ResponseWriter, r io.Reader) {
	b := make([]byte, 32<<10)
	rc := http.NewResponseController(w)
	for {
		n, err := r.Read(b)
		if n > 0 {
			if _, werr := w.Write(b[:n]); werr != nil {
				return
			}
			rc.Flush()
		}
		if err != nil {
			return
		}
	}
}

var request = &h2.Request{Scheme: "https", Authority: "host", Path: "/"}

func echo(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(200)
	http.NewResponseController(w).Flush()
	copyTo(w, r.Body)
}

// TestNet has the Stream pass golang.org/x/net/nettest, both ways round,
// against net/http's server: a goroutine there joins each Stream to a pipe,
// whose other end is that of the test.
func TestNet(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name := "h2c"
		if secure {
			name = "h2"
		}
		t.Run(name, func(t *testing.T) {
			rel := &relay{waiting: make(map[string]chan *http.Request)}
			dial := serve(t, secure, 250, rel.ServeHTTP)
			var pool h2.Pool
			pair := func() (c1, c2 net.Conn, stop func(), err error) {
				a, _, err := pool.Open(t.Context(), "key", request, dial)
				if err != nil {
					return nil, nil, nil, err
				}
				b, _, err := pool.Open(t.Context(), "key", request, dial)
				if err != nil {
					return nil, nil, nil, err
				}
				return &streamtest.Conn{Stream: a}, &streamtest.Conn{Stream: b}, func() { a.Close(); b.Close() }, nil
			}
			nettest.TestConn(t, pair)
		})
	}
}

// TestStalledPair has one stream write until nothing moves, the other of its
// pair then sends all of it back: they share the window of a connection, of
// which what is stuck leaves enough.
func TestStalledPair(t *testing.T) {
	rel := &relay{waiting: make(map[string]chan *http.Request)}
	dial := serve(t, false, 250, rel.ServeHTTP)
	var pool h2.Pool
	var ends [2]*h2.Stream
	for i := range ends {
		s, _, err := pool.Open(t.Context(), "key", request, dial)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ends[i] = s
	}
	p := make([]byte, 64<<10)
	written := 0
	for {
		ends[0].SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // too short on a slow machine, and less is stuck
		n, err := ends[0].Write(p)
		if written += n; err != nil && n == 0 {
			break
		}
	}
	go io.Copy(struct{ io.Writer }{ends[1]}, struct{ io.Reader }{ends[1]})
	if n, err := io.CopyN(io.Discard, ends[0], int64(written)); err != nil {
		t.Errorf("%d of %d bytes came back, %v", n, written, err)
	}
}

// TestPool opens more streams at once than one connection may have, and looks
// at what is left afterwards.
func TestPool(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("", func(t *testing.T) {
		const streams, limit = 100, 30
		var pool h2.Pool
		var mu sync.Mutex
		dials := 0
		served := serve(t, true, limit, echo)
		dial := func(ctx context.Context) (*h2.Conn, error) {
			mu.Lock()
			dials++
			mu.Unlock()
			return served(ctx)
		}
		var wg sync.WaitGroup
		open := make([]*h2.Stream, streams)
		for i := range open {
			wg.Go(func() {
				s, resp, err := pool.Open(t.Context(), "key", request, dial)
				if err != nil || resp.Status != 200 {
					t.Error(resp, err)
					return
				}
				open[i] = s
				if _, err := s.Write([]byte{byte(i)}); err != nil {
					t.Error(err)
				}
				b := make([]byte, 2)
				if n, err := s.Read(b); n != 1 || err != nil || b[0] != byte(i) {
					t.Error(b, n, err)
				}
			})
		}
		wg.Wait()
		mu.Lock()
		if want := (streams + limit - 1) / limit; dials != want {
			t.Errorf("%d connections for %d streams, want %d", dials, streams, want)
		}
		mu.Unlock()
		for _, s := range open {
			wg.Go(func() {
				s.CloseWrite()
				if _, err := io.ReadAll(s); err != nil {
					t.Error(err)
				}
				s.Close()
			})
		}
		wg.Wait()
	})
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 500 {
			b := make([]byte, 1<<16)
			t.Fatalf("goroutines left:\n%s", b[:runtime.Stack(b, true)])
		}
		time.Sleep(10 * time.Millisecond) // until the connections have been idle long enough
	}
}

// TestPoolErrors: dials that fail, and contexts that end, harm nobody else.
func TestPoolErrors(t *testing.T) {
	var pool h2.Pool
	failed := errors.New("failed")
	if _, _, err := pool.Open(t.Context(), "key", request, func(context.Context) (*h2.Conn, error) { return nil, failed }); err != failed {
		t.Error(err)
	}
	dialing, release := make(chan struct{}), make(chan struct{})
	first, cancel := context.WithCancel(t.Context())
	served := serve(t, false, 10, echo)
	errs := make(chan error)
	go func() {
		_, _, err := pool.Open(first, "key", request, func(ctx context.Context) (*h2.Conn, error) {
			close(dialing)
			<-release
			return nil, ctx.Err()
		})
		errs <- err
	}()
	<-dialing
	second := make(chan error, 1)
	go func() {
		s, _, err := pool.Open(t.Context(), "key", request, served)
		if err == nil {
			s.Close()
		}
		second <- err
	}()
	third, cancel3 := context.WithCancel(t.Context())
	cancel3()
	if _, _, err := pool.Open(third, "key", request, served); err != context.Canceled {
		t.Error(err)
	}
	cancel()
	close(release)
	if err := <-errs; err != context.Canceled {
		t.Error(err)
	}
	if err := <-second; err != nil {
		t.Error("the one who waited:", err)
	}
}

// TestUpdatesOfSmallReads: net/http's server, whose handler reads 4 KiB at a
// time, sends up to 4 WINDOW_UPDATEs for the stream and 4 for the connection
// per DATA frame of 16 KiB. That is no flood.
func TestUpdatesOfSmallReads(t *testing.T) {
	const size = 200 << 20
	got := make(chan int64, 1)
	dial := serve(t, false, 10, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, make([]byte, 4<<10))
		got <- n
	})
	var pool h2.Pool
	s, _, err := pool.Open(t.Context(), "key", request, dial)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	p := make([]byte, 64<<10)
	for n := 0; n < size; n += len(p) {
		if _, err := s.Write(p); err != nil {
			t.Fatalf("after %d MiB and %v: %v", n>>20, time.Since(begun), err)
		}
	}
	s.Close()
	t.Log(time.Since(begun), <-got>>20)
}
