package peers_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
)

// serveHTTP runs net/http on ln, and returns a client that reaches it by dial.
func serveHTTP(t testing.TB, ln net.Listener, d *walve.Dialer, h http.Handler) *http.Client {
	s := &http.Server{Handler: h, ReadHeaderTimeout: timeout}
	var served sync.WaitGroup
	served.Go(func() { s.Serve(ln) })
	tr := &http.Transport{DialContext: d.DialContext}
	t.Cleanup(func() { tr.CloseIdleConnections(); s.Close(); served.Wait() })
	return &http.Client{Transport: tr, Timeout: timeout}
}

// post sends body, checks that it comes back, and reports whether that took a
// new connection.
func post(t testing.TB, client *http.Client, url string, body []byte) (fresh bool) {
	t.Helper()
	ctx := httptrace.WithClientTrace(bound(t), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { fresh = !info.Reused },
	})
	req, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%s: %d bytes, %v", resp.Status, len(got), err)
	}
	return fresh
}

// echoHTTP answers with the body of the request. While it runs net/http reads
// ahead, and it aborts that by a past deadline.
var echoHTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Write(body)
})

func TestHTTPKeepAlive(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		client := serveHTTP(t, ln, d, echoHTTP)
		for i := range 30 {
			if fresh := post(t, client, "http://walve/", pattern(i*10_000)); fresh != (i == 0) {
				t.Errorf("request %d: on a new connection is %v", i, fresh)
			}
		}
	})
}

// TestHTTPHijack takes the Conn from net/http, in the midst of a keep-alive
// connection, and goes on with a protocol of its own.
func TestHTTPHijack(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		mux := http.NewServeMux()
		mux.Handle("/echo", echoHTTP)
		mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, ok := c.(*walve.Conn); !ok {
				t.Errorf("hijacked a %T", c)
			}
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, rw)
		})
		client := serveHTTP(t, ln, d, mux)
		post(t, client, "http://walve/echo", []byte("first"))
		req, err := http.NewRequestWithContext(bound(t), "GET", "http://walve/hijack", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		client.Timeout = 0 // or the body is one that cannot be written to
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(resp.Status)
		}
		rw := resp.Body.(io.ReadWriteCloser)
		defer rw.Close()
		exchange(t, rw, pattern(1<<20))
	})
}

// exchange writes p to c, whose peer echoes, and reads it back.
func exchange(t testing.TB, c io.ReadWriter, p []byte) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Write(p); err != nil {
			t.Error("write:", err)
		}
	})
	got := make([]byte, len(p))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("read %d of %d bytes back: %v", n, len(p), err)
	}
	wg.Wait()
}

// echo returns the Conns of ln their bytes until it closes, and ends its
// direction after they have ended theirs.
func echo(t testing.TB, ln net.Listener) {
	var conns sync.WaitGroup
	t.Cleanup(func() { ln.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				io.Copy(c, c)
				c.Close()
			})
		}
	})
}
