package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// TestProxyAndHeader has walve dial go through a proxy with a password, and
// send the fields that it is told to.
func TestProxyAndHeader(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := walve.Upgrade(w, r)
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s, %q, %q", r.Host, r.Header["X-Test"], r.Header.Get("User-Agent"))
	}))
	defer server.Close()
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization")
		// Whatever the name is, it leads to server.
		there, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer here.Close()
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		var wg sync.WaitGroup
		wg.Go(func() { io.Copy(there, here); there.(*net.TCPConn).CloseWrite() })
		io.Copy(here, there)
		here.(*net.TCPConn).CloseWrite()
		wg.Wait()
	}))
	defer proxy.Close()

	r := runWalve(t, nil, "dial", "-proxy", strings.Replace(proxy.URL, "http://", "http://me:secret@", 1),
		"-header", "X-Test: one", "-header", "x-test:two", "-header", "User-Agent: tester", "ws://only-the-proxy.knows/")
	if want := `only-the-proxy.knows, ["one" "two"], "tester"`; r.code != exitOK || r.stdout != want {
		t.Errorf("%+v, want %s", r, want)
	}
	if got, want := <-asked, "CONNECT only-the-proxy.knows:80 Basic bWU6c2VjcmV0"; got != want {
		t.Errorf("the proxy was asked %q, want %q", got, want)
	}
}

// TestPingExit: the exit code is 0 if there was an answer.
func TestPingExit(t *testing.T) {
	url := serveWebSocket(t, func(conn *walve.Conn) {
		conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		conn.ReadMessage() // answers Pings meanwhile
	})
	r := runWalve(t, nil, "ping", "-i", "100ms", url)
	if !strings.Contains(r.stdout, "pong from") {
		t.Skip("no pong")
	}
	if r.code != exitOK {
		t.Errorf("%+v: want 0, as -h says: there was an answer", r)
	}
}
