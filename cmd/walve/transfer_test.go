package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

const gib = 1 << 30

// transferSize is 64 MiB, or 1 GiB with WALVE_TEST_GIB=1.
func transferSize() int64 {
	if os.Getenv("WALVE_TEST_GIB") != "" {
		return gib
	}
	return 64 << 20
}

// stream is n bytes that differ by name.
func stream(name string, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte(name))), n)
}

// digest reads r to its end.
func digest(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%d bytes %s", n, hex.EncodeToString(h.Sum(nil)[:8])), err
}

func wantDigest(t *testing.T, what string, r io.Reader, name string, n int64) {
	t.Helper()
	got, err := digest(r)
	want, _ := digest(stream(name, n))
	if err != nil || got != want {
		t.Errorf("%s: %s, %v, want %s", what, got, err, want)
	}
}

// An answerer is a target that answers when the client has ended and not before:
// without half-close end to end there is no answer.
type answerer struct {
	target   string
	size     int64
	received chan string
}

func serveAnswer(t *testing.T, size int64) *answerer {
	a := &answerer{size: size, received: make(chan string, 1)}
	a.target = serveTCP(t, func(c *net.TCPConn) {
		got, err := digest(c)
		a.received <- fmt.Sprint(got, err)
		if err == nil {
			io.Copy(c, stream("down", size))
		}
	})
	return a
}

// wantReceived checks what the target has got.
func (a *answerer) wantReceived(t *testing.T) {
	t.Helper()
	want, err := digest(stream("up", a.size))
	select {
	case got := <-a.received:
		if got != fmt.Sprint(want, err) {
			t.Errorf("up: %s, want %s", got, want)
		}
	case <-time.After(patience):
		t.Fatal("the target has got nothing")
	}
}

// forward transfers through walve dial -listen.
func (a *answerer) forward(t *testing.T, args ...string) {
	t.Helper()
	_, address := startForward(t, args...)
	c := dialTCP(t, address)
	if _, err := io.Copy(c, stream("up", a.size)); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	wantDigest(t, "down", c, "down", a.size)
	a.wantReceived(t)
}

// stdio transfers through standard input and output.
func (a *answerer) stdio(t *testing.T, args ...string) {
	t.Helper()
	cmd := walveCommand(t, append([]string{"dial"}, args...)...)
	cmd.Stdin = stream("up", a.size)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wantDigest(t, "down", out, "down", a.size)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	a.wantReceived(t)
}

// TestTransferGiB sends 1 GiB each way. With the race detector, for which that
// takes minutes, and with -short it leaves it at what TestTransfer sends.
func TestTransferGiB(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("1 GiB takes too long here; WALVE_TEST_GIB=1 has TestTransfer send it")
	}
	a := serveAnswer(t, gib)
	_, urls := startListen(t, 1, "ws://127.0.0.1:0/", a.target)
	a.forward(t, urls[0])
}

// TestTransfer sends both ways through walve dial and walve listen.
func TestTransfer(t *testing.T) {
	a := serveAnswer(t, transferSize())
	cert, key := certificate(t)
	_, urls := startListen(t, 2, "-tls-cert", cert, "-tls-key", key,
		"ws://127.0.0.1:0/plain", a.target, "wss://localhost:0/secure", a.target)
	for _, rawURL := range urls {
		scheme, _, _ := strings.Cut(rawURL, ":")
		t.Run(scheme+"/forward", func(t *testing.T) { a.forward(t, "-ca", cert, rawURL) })
		t.Run(scheme+"/stdio", func(t *testing.T) { a.stdio(t, "-ca", cert, rawURL) })
	}
}

// TestTransferCounted transfers both ways at once while the counters are read
// again and again, which interrupts the copies each time.
func TestTransferCounted(t *testing.T) {
	size := transferSize() / 4
	target := serveTCP(t, func(c *net.TCPConn) {
		var wg sync.WaitGroup
		wg.Go(func() { wantDigest(t, "up", c, "up", size) })
		io.Copy(c, stream("down", size))
		c.CloseWrite()
		wg.Wait()
	})
	listen := start(t, "listen", "-debug", "127.0.0.1:0", "ws://127.0.0.1:0/", target)
	vars := listen.next("debugging")["url"].(string)
	url := listen.next("listening")["url"].(string)
	forward := start(t, "dial", "-debug", "127.0.0.1:0", "-listen", "127.0.0.1:0", url)
	dialVars := forward.next("debugging")["url"].(string)
	c := dialTCP(t, forward.next("listening")["address"].(string))

	done, polled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(polled)
		for {
			select {
			case <-done:
				return
			default:
				readVars(t, vars)
				readVars(t, dialVars)
			}
		}
	}()
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(c, stream("up", size))
		c.CloseWrite()
	})
	wantDigest(t, "down", c, "down", size)
	wg.Wait()
	close(done)
	<-polled

	forward.next("connection ended")
	listen.next("connection ended")
	at, from := readVars(t, vars), readVars(t, dialVars)
	for _, got := range []walveVars{at, from} {
		if got.Total != 1 || got.Open != 0 || got.Sent != size || got.Received != size {
			t.Errorf("%+v, want 1 connection with %d bytes each way", got, size)
		}
	}
	if at.FramesSent != from.FramesReceived || at.FramesReceived != from.FramesSent || at.FramesSent == 0 {
		t.Errorf("frames: %+v, but at the other end %+v", at, from)
	}
}

// TestReset holds that an error on one side never becomes a clean end on the
// other.
func TestReset(t *testing.T) {
	target := serveTCP(t, func(c *net.TCPConn) {
		io.WriteString(c, "half of it")
		io.ReadFull(c, make([]byte, 1))
		c.SetLinger(0) // and Close resets
	})
	cert, key := certificate(t)
	_, urls := startListen(t, 2, "-tls-cert", cert, "-tls-key", key, "ws://127.0.0.1:0/", target, "wss://localhost:0/", target)
	for _, url := range urls {
		scheme, _, _ := strings.Cut(url, ":")
		t.Run(scheme, func(t *testing.T) {
			_, address := startForward(t, "-ca", cert, url)
			c := dialTCP(t, address)
			if _, err := io.ReadFull(c, make([]byte, len("half of it"))); err != nil {
				t.Fatal(err)
			}
			c.Write([]byte{0})
			if n, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("Read returned %d, %v after a reset of the target, want an error", n, err)
			}

			r := runWalve(t, strings.NewReader("x"), "dial", "-ca", cert, url)
			if r.code != exitFailed || r.stdout != "half of it" || !strings.Contains(r.stderr, "1014") {
				t.Errorf("%+v, want exit code 1 and status 1014", r)
			}
		})
	}

	// The other way round.
	ended := make(chan error, 1)
	_, address := startForward(t, serveWebSocket(t, func(conn *walve.Conn) {
		conn.Write([]byte{0})
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	}))
	c := dialTCP(t, address)
	io.ReadFull(c, make([]byte, 1))
	c.SetLinger(0)
	c.Close()
	var closed *walve.CloseError
	if err := <-ended; !errors.As(err, &closed) || closed.Code != walve.StatusInternalError {
		t.Errorf("the server got %v after a reset of the client, want 1011", err)
	}
}

// TestParallel has 1,000 connections open at a time.
func TestParallel(t *testing.T) {
	const n = 1000
	socket := filepath.Join(shortTempDir(t), "s")
	serveOn(t, "unix", socket, func(c net.Conn) { io.Copy(c, c) })
	_, urls := startListen(t, 1, "ws://127.0.0.1:0/", "unix://"+socket)
	_, address := startForward(t, urls[0])

	var open, done sync.WaitGroup
	open.Add(n)
	for i := range n {
		done.Go(func() {
			var once sync.Once
			here := func() { once.Do(open.Done) }
			defer here()
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			name := fmt.Sprint(i)
			first := make([]byte, 16)
			want := make([]byte, 16)
			src := stream(name, 4096)
			io.ReadFull(src, want)
			c.Write(want)
			if _, err := io.ReadFull(c, first); err != nil || string(first) != string(want) {
				t.Errorf("connection %d: %x, %v", i, first, err)
				return
			}
			here()
			open.Wait()
			io.Copy(c, src)
			c.(*net.TCPConn).CloseWrite()
			got, err := digest(io.MultiReader(strings.NewReader(string(first)), c))
			if want, _ := digest(stream(name, 4096)); err != nil || got != want {
				t.Errorf("connection %d: %s, %v, want %s", i, got, err, want)
			}
		})
	}
	done.Wait()
}

// shortTempDir is for sockets, whose path may have about 100 bytes.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "walve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
