package peers_test

import (
	"crypto/tls"
	"testing"

	"github.com/bodokaiser/walve"
	_ "github.com/bodokaiser/walve/enable"
)

// overHTTP2 is a transport whose Conns share one HTTP/2 connection.
func overHTTP2(secure bool) func(testing.TB) (*walve.Listener, *walve.Dialer) {
	return func(t testing.TB) (*walve.Listener, *walve.Dialer) {
		t.Helper()
		var config *tls.Config
		if secure {
			config = serverTLS()
		}
		ln, d := listen(t, config)
		d.HTTP2 = walve.HTTP2Always
		return ln, d
	}
}
