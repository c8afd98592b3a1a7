package walve_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// serveOver runs net/http on a walve Listener and returns a client whose
// connections go through a Dialer.
func serveOver(t testing.TB, h http.Handler) *http.Client {
	t.Helper()
	ln, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	served := beginErr(func() error { return srv.Serve(ln) })
	d := &walve.Dialer{URL: "ws://" + ln.Addr().String()}
	transport := &http.Transport{DialContext: d.DialContext}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
		if r := <-served; r.err != http.ErrServerClosed {
			t.Error(r.err)
		}
	})
	return &http.Client{Transport: transport}
}

// reused makes req note whether its connection is that of an earlier one.
func reused(req *http.Request, was *bool) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { *was = info.Reused },
	}))
}

// TestRule11KeepAlive: requests with bodies of 1 MiB both ways
// follow one another on one connection, though net/http aborts a read in the
// background, by a deadline in the past, between any two of them.
func TestRule11KeepAlive(t *testing.T) {
	checkLeaks(t)
	body := randomBytes(1 << 20)
	client := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(b, body) {
			t.Errorf("request of %d bytes, %v", len(b), err)
		}
		w.Write(b)
	}))
	for i := range 12 {
		req, _ := http.NewRequest("POST", "http://walve/", bytes.NewReader(body))
		if i%3 == 1 {
			req.Header.Set("Expect", "100-continue")
		}
		if i%3 == 2 {
			req.Body = io.NopCloser(struct{ io.Reader }{bytes.NewReader(body)}) // chunked
			req.ContentLength = -1
		}
		var was bool
		resp, err := client.Do(reused(req, &was))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(b, body) {
			t.Fatalf("answer of %d bytes, %v", len(b), err)
		}
		if was != (i > 0) {
			t.Errorf("request %d: connection reused %v", i, was)
		}
	}
}

// TestRule11Concurrent: many requests at once, each on a Conn.
func TestRule11Concurrent(t *testing.T) {
	checkLeaks(t)
	client := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	}))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 5 {
				body := strings.Repeat(fmt.Sprint(i, j, " "), 10000)
				resp, err := client.Post("http://walve/", "", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(b) != body {
					t.Errorf("answer of %d bytes, want %d, %v", len(b), len(body), err)
				}
			}
		})
	}
	wg.Wait()
}

// TestRule11Hijack: a handler takes the connection over, with what the
// client has sent behind its request, and net/http's deadlines gone.
func TestRule11Hijack(t *testing.T) {
	checkLeaks(t)
	hijacked := make(chan opResult, 1)
	client := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hijack" {
			io.Copy(w, r.Body)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, ok := conn.(*walve.Conn); !ok {
			t.Errorf("hijacked a %T", conn)
		}
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		rw.Flush()
		go func() {
			defer conn.Close()
			n, err := io.Copy(conn, rw)
			hijacked <- opResult{int(n), err}
		}()
	}))
	// The connection has been used before.
	resp, err := client.Post("http://walve/", "", strings.NewReader("first"))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()

	req, _ := http.NewRequest("GET", "http://walve/hijack", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	var was bool
	resp, err = client.Do(reused(req, &was))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || !was {
		t.Fatalf("%s, connection reused %v", resp.Status, was)
	}
	rw := resp.Body.(io.ReadWriteCloser)
	body := randomBytes(1 << 20)
	write := begin(func() (int, error) { return rw.Write(body) })
	got := make([]byte, len(body))
	if _, err := io.ReadFull(rw, got); err != nil || !bytes.Equal(got, body) {
		t.Errorf("echo: %v", err)
	}
	if r := <-write; r.err != nil {
		t.Error(r.err)
	}
	rw.Close()
	if r := <-hijacked; r.n != len(body) || r.err != nil {
		t.Errorf("the handler copied %d bytes, %v", r.n, r.err)
	}
}

// TestRule11Pipelined: bytes right behind a request reach the hijacker.
func TestRule11Pipelined(t *testing.T) {
	checkLeaks(t)
	ln, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		ReadTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				return
			}
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			line, err := rw.ReadString('\n')
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(conn, "got %s", line)
			conn.Close()
		}),
	}
	go srv.Serve(ln)
	defer srv.Close()
	for _, split := range []bool{false, true} {
		c, err := walve.Dial(t.Context(), "ws://"+ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: walve\r\n\r\n")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		request, behind := "GET /hijack HTTP/1.1\r\nHost: walve\r\n\r\n", "behind\n"
		if split {
			io.WriteString(c, request)
			io.WriteString(c, behind)
		} else {
			io.WriteString(c, request+behind)
		}
		if got, err := io.ReadAll(r); string(got) != "got behind\n" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		c.Close()
	}
}

// TestRule11RequestEnds: net/http sees by its background read that a
// client has gone.
func TestRule11RequestEnds(t *testing.T) {
	checkLeaks(t)
	began, ended := make(chan struct{}), make(chan error, 1)
	client := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://walve/", nil)
	do := beginErr(func() error {
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	<-began
	cancel()
	if r := <-do; !errors.Is(r.err, context.Canceled) {
		t.Error(r.err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRule11TLS: crypto/tls over a Conn, both writing at once, and both
// ending their side by CloseWrite.
func TestRule11TLS(t *testing.T) {
	checkLeaks(t)
	serverTLS, clientTLS := exampleTLS()
	clientTLS = clientTLS.Clone()
	clientTLS.ServerName = "example.com"
	data := randomBytes(1 << 20)
	bothRoles(t, func(t *testing.T, tlsServerIsClient bool) {
		for _, halfClose := range []bool{true, false} {
			nc1, nc2 := tcpSockets(t)
			a, b := pair(nc1, nc2, halfClose)
			if !tlsServerIsClient {
				a, b = b, a
			}
			ends := []*tls.Conn{tls.Server(a, serverTLS), tls.Client(b, clientTLS)}
			var done []<-chan opResult
			for _, c := range ends {
				done = append(done, beginErr(func() error {
					// A deadline that passes in a Read is no harm to tls.
					if err := c.Handshake(); err != nil {
						return err
					}
					if _, err := c.Write(data); err != nil {
						return err
					}
					return c.CloseWrite()
				}), beginErr(func() error {
					if err := c.Handshake(); err != nil {
						return err
					}
					c.SetReadDeadline(time.Now().Add(-1))
					first := make([]byte, 1) // may have come with the handshake
					n, err := c.Read(first)
					if err != nil && !isTimeout(err) {
						return err
					}
					c.SetReadDeadline(time.Time{})
					got, err := io.ReadAll(c)
					if got = append(first[:n], got...); err == nil && !bytes.Equal(got, data) {
						err = fmt.Errorf("%d other bytes", len(got))
					}
					return err
				}))
			}
			for i, ch := range done {
				if r := <-ch; r.err != nil {
					t.Errorf("%d: %v", i, r.err)
				}
			}
			for _, c := range ends {
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		}
	})
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
