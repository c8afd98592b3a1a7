package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// walveVars is what /debug/vars says of walve.
type walveVars struct {
	Open           int64            `json:"connections_open"`
	Total          int64            `json:"connections_total"`
	Sent           int64            `json:"bytes_sent"`
	Received       int64            `json:"bytes_received"`
	FramesSent     int64            `json:"frames_sent"`
	FramesReceived int64            `json:"frames_received"`
	Failures       map[string]int64 `json:"handshake_failures"`
	TargetFailures int64            `json:"target_failures"`
	CloseCodes     map[string]int64 `json:"close_codes"`
}

func readVars(t *testing.T, url string) walveVars {
	t.Helper()
	var all struct{ Walve walveVars }
	if err := json.Unmarshal(get(t, url), &all); err != nil {
		t.Error(err)
	}
	return all.Walve
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d, %v", url, resp.StatusCode, err)
	}
	return b
}

// TestVars counts a connection of which every frame is known, and handshakes
// that fail.
func TestVars(t *testing.T) {
	target := serveTCP(t, func(c *net.TCPConn) {
		io.Copy(io.Discard, c)
		io.WriteString(c, "done")
	})
	p := start(t, "listen", "-debug", "127.0.0.1:0", "-max", "1", "ws://127.0.0.1:0/x", target,
		"ws://127.0.0.1:0/dead", "unix://"+shortTempDir(t)+"/nobody")
	vars := p.next("debugging")["url"].(string)
	url := p.next("listening")["url"].(string)
	dead := p.next("listening")["url"].(string)

	conn, err := walve.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	answer := make(chan string)
	go func() {
		b, err := io.ReadAll(conn)
		answer <- fmt.Sprint(string(b), err)
	}()
	for range 3 {
		if err := conn.WriteMessage(walve.OpBinary, []byte("message")); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := readVars(t, vars); got.Open != 1 || got.FramesReceived != 4 || got.FramesSent != 1 {
		t.Errorf("%+v, want one connection, three messages and a Ping, and its Pong", got)
	}
	for path, want := range map[string]int{url: 503, url + "y": 404} {
		if _, status := greeting(t, path, nil); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got != "done<nil>" {
		t.Errorf("the answer is %s", got)
	}
	p.next("connection ended")
	if _, status := greeting(t, dead, nil); status != 502 {
		t.Errorf("status %d, want 502", status)
	}

	want := walveVars{
		Total: 1, Sent: 4, Received: 21,
		FramesReceived: 5, FramesSent: 3, // with the Close frames
		Failures:       map[string]int64{"404": 1, "503": 1},
		TargetFailures: 1,
		CloseCodes:     map[string]int64{"1000": 1},
	}
	if got := readVars(t, vars); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if b := get(t, strings.Replace(vars, "vars", "pprof/goroutine?debug=1", 1)); !strings.Contains(string(b), "goroutine profile") {
		t.Errorf("pprof says %q", b)
	}
}

// TestVarsMonotonic: counters do not run backwards when a tunnel ends.
func TestVarsMonotonic(t *testing.T) {
	m := newMetrics()
	ts := newTunnels(m, 0)
	vars := m.vars(ts)
	stop := make(chan struct{})
	done := make(chan struct{})
	url := serveWebSocket(t, func(conn *walve.Conn) {
		a, b := tcpPair(t)
		go func() { b.Write(make([]byte, 1000)); b.CloseWrite(); io.Copy(io.Discard, b); b.Close() }()
		ts.admit()
		ts.run(&tunnel{ws: conn, local: a, halfClose: true, failCode: 1011})
	})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			c, err := walve.Dial(context.Background(), url)
			if err != nil {
				return
			}
			io.Copy(io.Discard, c)
			c.CloseWrite()
			c.Close()
		}
	}()
	var last int64
	until := time.Now().Add(3 * time.Second)
	for time.Now().Before(until) {
		n := vars().(map[string]any)["bytes_sent"].(int64)
		if n < last {
			t.Errorf("bytes_sent went from %d to %d", last, n)
			break
		}
		last = n
	}
	close(stop)
	<-done
}

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return
	}
	defer ln.Close()
	ch := make(chan net.Conn, 1)
	go func() { c, _ := ln.Accept(); ch <- c }()
	x, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	return x.(*net.TCPConn), (<-ch).(*net.TCPConn)
}
