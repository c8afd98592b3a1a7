package walve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
)

// http2Listener returns a Listener with a socket in memory, and a Dialer for it.
func http2Listener(t testing.TB, d *h2Dials, fallback http.Handler) (*walve.Listener, *walve.Dialer) {
	inner := newMemListener()
	ln := &walve.Listener{Fallback: fallback}
	if err := ln.Serve(inner); err != nil {
		t.Fatal(err)
	}
	return ln, d.dialer(walve.HTTP2Always, func(_ int, c net.Conn) {
		select {
		case inner.conns <- c:
		case <-inner.done:
			c.Close()
		}
	})
}

func connectH2(t testing.TB, ln *walve.Listener, d *walve.Dialer) (client, server *walve.Conn) {
	t.Helper()
	client, err := d.DialURL(t.Context(), "ws://host/")
	if err != nil {
		t.Fatal(err)
	}
	return client, accept(t, ln)
}

// TestListenerCloseOverHTTP2: the Conns that were accepted live on, those that
// share their connection and were not are closed, no more come, and the
// connection ends with its last Conn.
func TestListenerCloseOverHTTP2(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		ln, dialer := http2Listener(t, d, nil)
		client, server := connectH2(t, ln, dialer)
		waiting, err := dialer.DialURL(t.Context(), "ws://host/")
		if err != nil || d.count() != 1 {
			t.Fatalf("%d connections, %v", d.count(), err)
		}
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		var ce *walve.CloseError
		if _, err := waiting.Read(make([]byte, 1)); !errors.As(err, &ce) || ce.Code != walve.StatusGoingAway {
			t.Errorf("the one that was never accepted: %v", err)
		}
		waiting.Close()
		if _, err := dialer.DialURL(t.Context(), "ws://host/"); err == nil {
			t.Error("another Conn")
		}
		for range 3 {
			wantEcho(t, client, server)
			time.Sleep(time.Hour) // none of the server's timeouts is for them
		}
		closed := background(client.Close)
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		server.Close()
		if err := closed(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if _, err := client.NetConn().Write([]byte("x")); err == nil {
			t.Error("the connection outlives its last Conn")
		}
	})
}

// TestListenerShutdownOverHTTP2: Shutdown waits for the users, and closes what
// is left when its context ends.
func TestListenerShutdownOverHTTP2(t *testing.T) {
	for _, test := range []struct{ users, fallback bool }{{true, false}, {true, true}, {false, false}, {false, true}} {
		dialing(t, func(t *testing.T, d *h2Dials) {
			late := time.Duration(0)
			var fallback http.Handler
			if test.fallback {
				fallback = http.NotFoundHandler()
				late = time.Second // net/http looks now and then whether its requests are over
			}
			ln, dialer := http2Listener(t, d, fallback)
			client1, server1 := connectH2(t, ln, dialer)
			client2, server2 := connectH2(t, ln, dialer)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			down := background(func() error { return ln.Shutdown(ctx) })
			synctest.Wait()
			wantEcho(t, client1, server1)
			time.Sleep(10 * time.Second)
			go client1.Close()
			server1.Close()
			wantEcho(t, client2, server2)
			if test.users {
				time.Sleep(10 * time.Second)
				go client2.Close()
				server2.Close()
				err := down()
				if d := time.Since(begun); err != nil || d < 20*time.Second || d > 20*time.Second+late {
					t.Errorf("%v after %v", err, d)
				}
				return
			}
			var ce *walve.CloseError
			if _, err := client2.Read(make([]byte, 1)); !errors.As(err, &ce) || ce.Code != walve.StatusGoingAway {
				t.Errorf("what was left: %v", err)
			}
			client2.Close()
			if err := down(); err != context.DeadlineExceeded || time.Since(begun) != time.Minute {
				t.Errorf("%v after %v", err, time.Since(begun))
			}
			checkOpError(t, "Read", func() error { _, err := server2.Read(make([]byte, 1)); return err }(), net.ErrClosed)
		})
	}
}

// TestListenerUnreadConnOverHTTP2: a Conn that nobody reads takes no window from
// those that share its connection with a server of Listen or Serve.
func TestListenerUnreadConnOverHTTP2(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		ln, dialer := http2Listener(t, d, nil)
		var stuck int
		for range 3 {
			client, server := connectH2(t, ln, dialer)
			defer server.Close()
			defer client.Close()
			client.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := client.Write(make([]byte, 64<<20))
			checkTimeout(t, "Write", err)
			stuck += n
		}
		if stuck > 3*(5<<20) {
			t.Errorf("%d bytes are held for 3 Conns", stuck)
		}
		client, server := connectH2(t, ln, dialer)
		if d.count() != 1 {
			t.Errorf("%d connections", d.count())
		}
		done := background(func() error { _, err := io.CopyN(io.Discard, server, 32<<20); return err })
		if _, err := client.Write(make([]byte, 32<<20)); err != nil {
			t.Error(err)
		}
		if err := done(); err != nil {
			t.Error(err)
		}
		go client.Close()
		server.Close()
		ln.Close()
	})
}

// TestConnectProtocolField: a version of Go that has a field for what package
// enable does gets it set, this one is left alone.
func TestConnectProtocolField(t *testing.T) {
	var later struct{ EnableConnectProtocol bool }
	if walve.SetConnectProtocol(&later); !later.EnableConnectProtocol {
		t.Error("not set")
	}
	walve.SetConnectProtocol(new(http.HTTP2Config))
	walve.SetConnectProtocol(&struct{ EnableConnectProtocol int }{})
}

// TestRequestBodyOverHTTP2: the body of Conn.Request is empty, not the stream.
func TestRequestBodyOverHTTP2(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		ln, dialer := http2Listener(t, d, nil)
		client, server := connectH2(t, ln, dialer)
		go client.Write([]byte("hello"))
		time.Sleep(time.Second)
		got := make(chan string, 1)
		go func() {
			b := make([]byte, 100)
			n, err := server.Request().Body.Read(b)
			got <- fmt.Sprintf("%q, %v", b[:n], err)
		}()
		time.Sleep(time.Second)
		select {
		case s := <-got:
			if s != `"", EOF` {
				t.Errorf("Request().Body: %s", s)
			}
		default:
			t.Error("Request().Body is not empty: Read blocks")
		}
		client.Close()
		server.Close()
		ln.Close()
		time.Sleep(time.Minute)
	})
}

// A brokenLater is a listener that fails when it is told.
type brokenLater struct {
	net.Listener
	fail chan error
	next chan net.Conn
}

func (l *brokenLater) Accept() (net.Conn, error) {
	select {
	case c := <-l.next:
		return c, nil
	case err := <-l.fail:
		return nil, err
	}
}

// TestListenerFailsOverHTTP2: what was accepted lives on when a socket fails.
func TestListenerFailsOverHTTP2(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		mem := newMemListener()
		inner := &brokenLater{mem, make(chan error), mem.conns}
		ln := new(walve.Listener)
		if err := ln.Serve(inner); err != nil {
			t.Fatal(err)
		}
		dialer := d.dialer(walve.HTTP2Always, func(_ int, c net.Conn) { mem.conns <- c })
		client, server := connectH2(t, ln, dialer)
		wantEcho(t, client, server)
		inner.fail <- errors.New("broken")
		if _, err := ln.Accept(); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("Accept: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := client.Write([]byte("x")); err != nil {
			t.Errorf("client after inner failed: %v", err)
		}
		server.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := server.Read(make([]byte, 1)); err != nil {
			t.Errorf("server after inner failed: %v", err)
		}
		client.Close()
		server.Close()
		time.Sleep(time.Minute)
	})
}

// TestQuietLogHTTP2: strangers cannot write into the log over HTTP/2 either.
func TestQuietLogHTTP2(t *testing.T) {
	var buf bytes.Buffer
	log.SetOutput(&buf)
	defer log.SetOutput(os.Stderr)
	dialing(t, func(t *testing.T, d *h2Dials) {
		mem := newMemListener()
		ln := new(walve.Listener)
		ln.Serve(mem)
		for range 3 {
			p := mem.dial(t)
			p.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
			p.send(string([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}))             // SETTINGS
			p.send(string([]byte{0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0})) // WINDOW_UPDATE of 0
			p.SetReadDeadline(time.Now().Add(time.Minute))
			io.ReadAll(p)
			p.Close()
		}
		ln.Close()
		time.Sleep(time.Minute)
	})
	if buf.Len() > 0 {
		t.Errorf("a stranger made the server log:\n%s", buf.String())
	}
}
