package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// rawClient is a foreign client: it has no half-close.
func rawClient(t *testing.T, url, more string) (*net.TCPConn, *bufio.Reader, int) {
	t.Helper()
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "ws://"), "/")
	c := dialTCP(t, host)
	fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s\r\n", path, host, more)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, br, resp.StatusCode
}

// frame is one of a client, masked with zeroes.
func frame(op byte, p []byte) []byte {
	b := []byte{0x80 | op}
	switch {
	case len(p) < 126:
		b = append(b, 0x80|byte(len(p)))
	case len(p) < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(p)))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(len(p)))
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, p...)
}

// TestHalfClosedThenGone: a client that is gone behind its half-close leaves no
// tunnel.
func TestHalfClosedThenGone(t *testing.T) {
	ended := make(chan struct{})
	target := serveTCP(t, func(c *net.TCPConn) {
		io.Copy(io.Discard, c) // the half-close
		c.SetDeadline(time.Now().Add(8 * time.Second))
		// says nothing, and goes on for as long as somebody may listen
		buf := make([]byte, 1)
		for {
			raw, _ := c.SyscallConn()
			var err error
			raw.Control(func(fd uintptr) {
				var v int
				v, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
				if v != 0 {
					err = syscall.Errno(v)
				}
			})
			if err != nil {
				close(ended)
				return
			}
			_ = buf
			time.Sleep(20 * time.Millisecond)
			select {
			case <-t.Context().Done():
				return
			default:
			}
		}
	})
	p, urls := startListen(t, 1, "-keepalive", "200ms", "ws://127.0.0.1:0/", target)
	conn, err := walve.Dial(t.Context(), urls[0])
	if err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	time.Sleep(200 * time.Millisecond)
	conn.NetConn().(*net.TCPConn).SetLinger(0)
	conn.NetConn().Close() // reset: the client is dead
	select {
	case <-ended:
	case <-time.After(6 * time.Second):
		t.Error("6 s after the client was reset its tunnel is still open, and so is the target's connection")
	}
	_ = p
}

// TestForeignCloseTail: what came before a Close frame reaches a target that is
// slow and goes on talking.
func TestForeignCloseTail(t *testing.T) {
	const size = 1 << 20
	type res struct {
		n   int64
		err error
	}
	got := make(chan res, 1)
	target := serveTCP(t, func(c *net.TCPConn) {
		c.SetReadBuffer(64 << 10)
		go func() { // talks all the time
			for {
				if _, err := c.Write([]byte("tick\n")); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		time.Sleep(1 * time.Second) // slow
		n, err := io.Copy(io.Discard, c)
		got <- res{n, err}
	})
	_, urls := startListen(t, 1, "ws://127.0.0.1:0/", target)
	c, br, status := rawClient(t, urls[0], "")
	if status != 101 {
		t.Fatal(status)
	}
	go io.Copy(io.Discard, br)
	c.Write(frame(2, make([]byte, size)))
	c.Write(frame(8, []byte{3, 232}))
	r := <-got
	if r.n != size || r.err != nil {
		t.Errorf("the target got %d of %d bytes that came before a Close frame of 1000: %v", r.n, size, r.err)
	}
}

// TestForeignCloseUnread: a client that has closed and reads nothing ends.
func TestForeignCloseUnread(t *testing.T) {
	target := serveTCP(t, func(c *net.TCPConn) { io.Copy(c, stream("x", 1<<40)) })
	p, urls := startListen(t, 1, "-keepalive", "500ms", "ws://127.0.0.1:0/", target)
	c, _, status := rawClient(t, urls[0], "")
	if status != 101 {
		t.Fatal(status)
	}
	time.Sleep(500 * time.Millisecond)
	c.Write(frame(8, []byte{3, 232}))
	ended := make(chan struct{})
	go func() {
		for {
			p.mu.Lock()
			for _, l := range p.lines {
				if l["msg"] == "connection ended" || l["msg"] == "connection failed" {
					p.mu.Unlock()
					close(ended)
					return
				}
			}
			p.mu.Unlock()
			time.Sleep(50 * time.Millisecond)
		}
	}()
	select {
	case <-ended:
	case <-time.After(12 * time.Second):
		t.Error("12 s after the client's Close frame the tunnel is still there")
	}
}

// TestClientGivesUp: that is no failure of the target.
func TestClientGivesUp(t *testing.T) {
	// A target whose backlog is full: connecting to it takes for ever.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	syscall.Listen(fd, 0)
	sa, _ := syscall.Getsockname(fd)
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for range 3 {
		go net.DialTimeout("tcp", addr, 20*time.Second)
	}
	time.Sleep(200 * time.Millisecond)
	p, urls := startListen(t, 1, "-debug", "127.0.0.1:0", "ws://127.0.0.1:0/", "tcp://"+addr)
	_ = p
	host := strings.TrimSuffix(strings.TrimPrefix(urls[0], "ws://"), "/")
	c := dialTCP(t, host)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", host)
	time.Sleep(300 * time.Millisecond)
	c.Close()
	time.Sleep(500 * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.raw {
		if strings.Contains(line, "the target cannot be reached") {
			t.Errorf("the client gave up, and the target is blamed: %s", line)
		}
	}
}

// TestPipelined: a stranger who reads no answer is closed.
func TestPipelined(t *testing.T) {
	file := writeFile(t, "auth", []byte("secret\n"))
	_, urls := startListen(t, 1, "-auth-file", file, "-connect-timeout", "1s", "ws://127.0.0.1:0/", "tcp://127.0.0.1:1")
	c := dialTCP(t, strings.TrimSuffix(strings.TrimPrefix(urls[0], "ws://"), "/"))
	c.SetReadBuffer(4096)
	requests := []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
	c.SetWriteDeadline(time.Now().Add(time.Minute))
	for {
		if _, err := c.Write(requests); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it has the connection for a minute")
		} else if err != nil {
			return
		}
	}
}

// TestForeignOriginReachesNothing: a page that may not connect does not make the
// target be connected to.
func TestForeignOriginReachesNothing(t *testing.T) {
	var n atomic.Int32
	target := serveTCP(t, func(*net.TCPConn) { n.Add(1) })
	_, urls := startListen(t, 1, "ws://127.0.0.1:0/", target)
	_, _, status := rawClient(t, urls[0], "Origin: https://evil.example\r\n")
	if status != 403 {
		t.Fatal(status)
	}
	time.Sleep(200 * time.Millisecond)
	if n.Load() != 0 {
		t.Errorf("the target was connected to for a page that may not")
	}
}
