package peers_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestBrowser has one Chromium for all its subtests, each of which has a tab of
// its own. It is not parallel: the memory that it looks at is the process's.
func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	t.Run("echo", b.testEcho)
	t.Run("large", b.testLarge)
	t.Run("is closed", b.testIsClosed)
	t.Run("closes", b.testCloses)
	t.Run("leaves", b.testLeaves)
	t.Run("is broken to", b.testBrokenTo)
	t.Run("breaks", b.testBreaks)
	t.Run("origin", b.testOrigin)
	t.Run("subprotocol", b.testSubprotocol)
	t.Run("http2", b.testHTTP2)
}

// A browser is a running Chromium, as a context of chromedp.
type browser struct{ ctx context.Context }

// startBrowser starts a Chromium, which ends with the test.
func startBrowser(t testing.TB) *browser {
	t.Helper()
	path := need(t, "chromium")
	dir := t.TempDir() // removed when all of Chromium has ended
	output, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.UserDataDir(dir),
		chromedp.Env("HOME=" + dir),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { cmd.Stdout = held }),
	}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "no-proxy-server",
		"disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage", "ignore-certificate-errors",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*timeout)
	ctx, release := chromedp.NewExecAllocator(ctx, options...)
	ctx, _ = chromedp.NewContext(ctx)
	err = chromedp.Do(ctx)
	held.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer output.Close()
		io.Copy(io.Discard, output)
	}()
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		release()
		cancel()
		// The standard output is open for as long as one of its processes is
		// left.
		select {
		case <-ended:
		case <-time.After(timeout):
			t.Error("Chromium has left a process")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return &browser{ctx}
}

// open opens a tab, which ends with the test or after timeout.
func (b *browser) open(t testing.TB, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	ctx, cancelTimeout := context.WithTimeout(ctx, timeout)
	t.Cleanup(func() { cancelTimeout(); cancel() })
	tb := &tab{ctx}
	// Of every WebSocket message the browser would tell chromedp the payload.
	if err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.Disable, cdp.Empty{})
		return err
	})); err != nil {
		t.Fatal(err)
	}
	tb.navigate(t, url)
	return tb
}

// A tab is a page in the browser.
type tab struct{ ctx context.Context }

func (tb *tab) navigate(t testing.TB, url string) {
	t.Helper()
	if err := chromedp.Do(tb.ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// begin calls a function of the page. What it returns waits for what the
// function's promise resolves with.
func begin[T any](t testing.TB, tb *tab, function string, args ...any) (wait func() T) {
	t.Helper()
	list, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := chromedp.Run(tb.ctx, chromedp.Evaluate[T](fmt.Sprintf("%s(...%s)", function, list), chromedp.EvalAwaitPromise))
		done <- outcome{v, err}
	}()
	return func() T {
		t.Helper()
		o := <-done
		if o.err != nil {
			t.Fatalf("%s: %v", function, o.err)
		}
		return o.value
	}
}

// A site is a server that has the page, and WebSocket connections at /ws.
type site struct {
	origin   string // its URL, without a path
	upgrades chan upgrade
}

// An upgrade is what has become of a request for a connection.
type upgrade struct {
	conn *walve.Conn
	err  error
}

func (s site) url() string { return "ws" + strings.TrimPrefix(s.origin, "http") + "/ws" }

// next waits for the next request for a connection.
func (s site) next(t testing.TB) upgrade {
	t.Helper()
	select {
	case u := <-s.upgrades:
		return u
	case <-time.After(timeout):
		t.Fatal("the page has asked for no connection")
		panic("unreachable")
	}
}

// accept waits for the next connection, which ends with the test.
func (s site) accept(t testing.TB) *walve.Conn {
	t.Helper()
	u := s.next(t)
	if u.err != nil {
		t.Fatal(u.err)
	}
	t.Cleanup(func() { u.conn.Close() })
	u.conn.SetDeadline(time.Now().Add(timeout))
	return u.conn
}

var page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	http.ServeFile(w, r, "testdata/browser.html")
})

// upgradeSite is an http.Server that uses an Upgrader, with a config over TLS.
func upgradeSite(t testing.TB, u walve.Upgrader, config *tls.Config) site {
	s := site{upgrades: make(chan upgrade, 1)}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r)
		s.upgrades <- upgrade{c, err}
	})
	s.origin = "http" + strings.TrimPrefix(serve(t, mux, config), "ws")
	return s
}

// listenerSite is a Listener on inner.
func listenerSite(t testing.TB, ln *walve.Listener, inner net.Listener) site {
	t.Helper()
	s := site{"http://" + inner.Addr().String(), make(chan upgrade, 1)}
	if ln.TLSConfig != nil {
		s.origin = "https://" + inner.Addr().String()
	}
	ln.Fallback = page
	if err := ln.Serve(inner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.upgrades <- upgrade{c.(*walve.Conn), nil}
		}
	}()
	return s
}

func loopback(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
