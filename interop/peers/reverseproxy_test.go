package peers_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
)

// reverseProxy puts httputil.ReverseProxy in front of the server that d
// reaches, itself with TLS if that has it, and returns a Dialer to it.
func reverseProxy(t testing.TB, d *walve.Dialer) *walve.Dialer {
	t.Helper()
	target, err := url.Parse("http" + strings.TrimPrefix(d.URL, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	var config *tls.Config
	if d.TLSConfig != nil {
		config = serverTLS()
	}
	tr := &http.Transport{TLSClientConfig: d.TLSConfig}
	t.Cleanup(tr.CloseIdleConnections)
	front := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: tr,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	return &walve.Dialer{URL: serve(t, front, config), TLSConfig: d.TLSConfig}
}

// TestReverseProxy: what a proxy does not look into passes through it, half-close
// included, since that is a Close frame and not the FIN of one of two sockets.
func TestReverseProxy(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		c := dial(t, reverseProxy(t, d))
		s := accept(t, ln)
		question, answer := pattern(4<<20), text(4<<20)
		var wg sync.WaitGroup
		wg.Go(func() {
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, question) {
				t.Errorf("the server read %d bytes, %v", len(got), err)
			}
			if _, err := s.Write(answer); err != nil {
				t.Error(err)
			}
			s.Close()
		})
		if _, err := c.Write(question); err != nil {
			t.Error(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, answer) {
			t.Errorf("the client read %d bytes, %v", len(got), err)
		}
		wg.Wait()
	})
}

// TestReverseProxyHTTP carries HTTP through WebSocket through a proxy of HTTP.
func TestReverseProxyHTTP(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		client := serveHTTP(t, ln, reverseProxy(t, d), echoHTTP)
		for i := range 10 {
			if fresh := post(t, client, "http://walve/", pattern(i*10_000)); fresh != (i == 0) {
				t.Errorf("request %d: on a new connection is %v", i, fresh)
			}
		}
	})
}

// TestReverseProxyBehind has a proxy reach its backend through WebSocket.
func TestReverseProxyBehind(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		behind := serveHTTP(t, ln, d, echoHTTP)
		front := serve(t, &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "walve"}) },
			Transport: behind.Transport,
		}, nil)
		client := &http.Client{Transport: &http.Transport{}, Timeout: timeout}
		defer client.CloseIdleConnections()
		for i := range 10 {
			post(t, client, "http"+strings.TrimPrefix(front, "ws"), pattern(i*10_000))
		}
	})
}
