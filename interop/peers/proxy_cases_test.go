package peers_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// TestProxyTransfer sends a lot both ways at once, ends one direction first, and
// expects every byte and a clean end.
func TestProxyTransfer(t *testing.T) {
	t.Parallel()
	const size = 24 << 20
	all := pattern(size + 1)
	overProxies(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		c := dial(t, d)
		s := accept(t, ln)
		var wg sync.WaitGroup
		for _, end := range []struct {
			c    *walve.Conn
			send []byte
			want []byte
		}{{c, all[:size], all[1:]}, {s, all[1:], all[:size]}} {
			wg.Go(func() {
				if _, err := end.c.ReadFrom(bytes.NewReader(end.send)); err != nil {
					t.Error(err)
				}
				if err := end.c.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if got, err := io.ReadAll(end.c); err != nil || !bytes.Equal(got, end.want) {
					t.Errorf("read %d of %d bytes, or others: %v", len(got), len(end.want), err)
				}
			})
		}
		wg.Wait()
	})
}

// TestProxyIdle has a proxy cut what is idle. A Conn with KeepAlive is not, and
// the end of one without it is an error on both sides, not the end of a stream.
func TestProxyIdle(t *testing.T) {
	t.Parallel()
	overProxies(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		ln.Upgrader.KeepAlive = -1
		kept, idle := at(d, "/"), at(d, "/")
		kept.KeepAlive, idle.KeepAlive = time.Second, -1
		c := dial(t, kept)
		s := accept(t, ln)
		echoed := make(chan error, 1)
		go func() { _, err := io.Copy(s, s); echoed <- err }()
		answer := make(chan []byte)
		go func() {
			got, err := io.ReadAll(c) // only a read in progress sees Pongs
			if err != nil {
				t.Error("with KeepAlive:", err)
			}
			answer <- got
		}()

		// The other one begins later, and so it is cut when kept has been
		// idle for longer.
		ends := []*walve.Conn{dial(t, idle), accept(t, ln)}
		var cut sync.WaitGroup
		for _, end := range ends {
			cut.Go(func() {
				n, err := end.Read(make([]byte, 1))
				if n != 0 || err == nil || err == io.EOF {
					t.Errorf("without KeepAlive: %d, %v", n, err)
				}
			})
		}
		cut.Wait()

		if _, err := c.Write([]byte("still here")); err != nil {
			t.Error(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		if err := <-echoed; err != nil {
			t.Error(err)
		}
		s.Close()
		if got := <-answer; string(got) != "still here" {
			t.Errorf("read %q", got)
		}
	})
}

// TestProxyRefuses: whoever refuses, the Dialer says so with its answer.
func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	overProxies(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		for _, c := range []struct {
			path   string
			status []int
			body   string
		}{
			{"/forbidden", []int{http.StatusForbidden}, "no entry"},
			// What a proxy that knows no WebSocket makes of the request.
			{"/plain", []int{http.StatusUpgradeRequired, http.StatusBadRequest}, ""},
			{"/dead", []int{http.StatusBadGateway, http.StatusServiceUnavailable}, ""},
		} {
			_, err := d.DialURL(bound(t), at(d, c.path).URL)
			var refused *walve.HandshakeError
			if !errors.As(err, &refused) {
				t.Errorf("%s: %v", c.path, err)
				continue
			}
			known := false
			for _, status := range c.status {
				known = known || refused.StatusCode == status && refused.Response.StatusCode == status
			}
			body, err := io.ReadAll(refused.Response.Body)
			if !known || err != nil || !strings.Contains(string(body), c.body) {
				t.Errorf("%s: %v, body %q, %v", c.path, refused, body, err)
			}
		}
	})
}
