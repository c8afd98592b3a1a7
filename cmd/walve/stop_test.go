//go:build unix

package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// TestStopDrains holds that a connection may end by itself after SIGTERM, while
// new ones are refused.
func TestStopDrains(t *testing.T) {
	target := serveTCP(t, echo)
	listen, urls := startListen(t, 1, "-drain", "1m", "ws://127.0.0.1:0/", target)
	forward, address := startForward(t, "-drain", "1m", urls[0])
	c := dialTCP(t, address)
	roundTrip(t, c)

	for _, p := range []*process{listen, forward} {
		p.cmd.Process.Signal(syscall.SIGTERM)
		if line := p.next("stopping"); line["connections"] != 1.0 {
			t.Errorf("logged %v, want 1 connection", line)
		}
	}
	for _, a := range []string{address, strings.TrimSuffix(strings.TrimPrefix(urls[0], "ws://"), "/")} {
		if c, err := net.Dial("tcp", a); err == nil {
			c.Close()
			t.Error("a new connection is taken after SIGTERM")
		}
	}
	roundTrip(t, c)
	c.CloseWrite()
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("the end: %q, %v", b, err)
	}
	for _, p := range []*process{listen, forward} {
		if line := p.next("stopped"); line["cut"] != 0.0 {
			t.Errorf("logged %v, want none cut", line)
		}
		if code := p.wait(); code != exitOK {
			t.Errorf("exit code %d, want 0", code)
		}
	}
}

func roundTrip(t *testing.T, c io.ReadWriter) {
	t.Helper()
	b := []byte("there and back")
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "there and back" {
		t.Fatalf("%q, %v", b, err)
	}
}

// TestStopCuts holds that what has not ended in time is told 1001, also while
// it is sending, and has got all that was sent to it before.
func TestStopCuts(t *testing.T) {
	target := serveTCP(t, echo)
	listen, urls := startListen(t, 1, "-drain", "0", "ws://127.0.0.1:0/", target)
	conn, err := walve.Dial(t.Context(), urls[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	roundTrip(t, conn)
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		io.Copy(conn, stream("endless", 1<<40))
	}()
	listen.cmd.Process.Signal(syscall.SIGTERM)
	_, err = io.Copy(io.Discard, conn)
	var closed *walve.CloseError
	if !errors.As(err, &closed) || closed.Code != walve.StatusGoingAway {
		t.Errorf("%v, want 1001", err)
	}
	<-wrote
	if line := listen.next("stopped"); line["cut"] != 1.0 {
		t.Errorf("logged %v, want 1 cut", line)
	}
	if code := listen.wait(); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestStopStdio holds that walve dial and walve cat tell the server when they
// are stopped.
func TestStopStdio(t *testing.T) {
	for _, command := range []string{"dial", "cat"} {
		ended := make(chan error, 1)
		url := serveWebSocket(t, func(conn *walve.Conn) {
			conn.WriteMessage(walve.OpText, []byte("hello"))
			_, err := io.Copy(io.Discard, conn)
			ended <- err
		})
		cmd := walveCommand(t, command, url)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(stdout, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 143 {
			t.Errorf("%s: exit code %d, want 143", command, code)
		}
		var closed *walve.CloseError
		if err := <-ended; !errors.As(err, &closed) || closed.Code != walve.StatusGoingAway {
			t.Errorf("%s: the server got %v, want 1001", command, err)
		}
	}
}

// TestStopTwice holds that a second signal ends the process at once, whatever is
// open.
func TestStopTwice(t *testing.T) {
	listen, urls := startListen(t, 1, "-drain", "1m", "ws://127.0.0.1:0/", serveTCP(t, echo))
	conn, err := walve.Dial(t.Context(), urls[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	listen.cmd.Process.Signal(syscall.SIGTERM)
	listen.next("stopping")
	listen.cmd.Process.Signal(syscall.SIGTERM)
	listen.wait()
	if status := listen.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, want the signal", listen.cmd.ProcessState)
	}
}

// TestStopPing holds that walve ping says what it has measured when it is
// stopped.
func TestStopPing(t *testing.T) {
	cmd := walveCommand(t, "ping", "-i", "1h", serveWebSocket(t, echoMessages))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	for range 2 { // "PING", and the first answer
		if _, err := out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Process.Signal(os.Interrupt)
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil || !strings.Contains(string(rest), "1 pings sent, 1 pongs received, 0% lost\n") {
		t.Errorf("%v, %q, want exit code 0 and the statistics", err, rest)
	}
}

// TestBrokenPipe holds that the server is told when nobody reads standard
// output any more.
func TestBrokenPipe(t *testing.T) {
	ended := make(chan error, 1)
	url := serveWebSocket(t, func(conn *walve.Conn) {
		go io.Copy(conn, stream("endless", 1<<40))
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	})
	cmd := walveCommand(t, "dial", url)
	stdin, _ := cmd.StdinPipe()
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(stdout, make([]byte, 10))
	stdout.Close()
	var closed *walve.CloseError
	if err := <-ended; !errors.As(err, &closed) || closed.Code != walve.StatusGoingAway {
		t.Errorf("the server got %v, want 1001", err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || stderr.Len() > 0 {
		t.Errorf("exit code %d, standard error %q, want 1 and nothing", code, stderr.String())
	}
}

// TestDrainDialing: a connection whose WebSocket is being dialled was there too.
func TestDrainDialing(t *testing.T) {
	target := serveTCP(t, echo)
	listen, urls := startListen(t, 1, "ws://127.0.0.1:0/", target)
	_ = listen
	backend := strings.TrimSuffix(strings.TrimPrefix(urls[0], "ws://"), "/")
	asked := make(chan struct{}, 1)
	slow := serveTCP(t, func(c *net.TCPConn) {
		asked <- struct{}{}
		time.Sleep(700 * time.Millisecond)
		b, err := net.Dial("tcp", backend)
		if err != nil {
			return
		}
		defer b.Close()
		go func() { io.Copy(b, c); b.(*net.TCPConn).CloseWrite() }()
		io.Copy(c, b)
	})
	forward, address := startForward(t, "-drain", "1m", strings.Replace(slow, "tcp:", "ws:", 1)+"/")
	c := dialTCP(t, address)
	<-asked
	forward.cmd.Process.Signal(syscall.SIGTERM)
	forward.next("stopping")
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Errorf("a connection that was there at SIGTERM, with -drain 1m: %v", err)
	}
}
