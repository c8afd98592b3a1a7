package exampletest

import (
	"errors"
	"net/http"
	"testing"

	"github.com/bodokaiser/walve"
)

// CheckOrigin fails the test unless a page from elsewhere, which any website
// that somebody visits can be, is refused at the URL, and one of its own is not.
func CheckOrigin(t testing.TB, site, path string) {
	t.Helper()
	dial := func(origin string) error {
		d := walve.Dialer{Header: http.Header{"Origin": {origin}}}
		c, err := d.DialURL(t.Context(), site+path)
		if err == nil {
			c.Close()
		}
		return err
	}
	var refused *walve.HandshakeError
	if err := dial("http://example.com"); !errors.As(err, &refused) || refused.StatusCode != http.StatusForbidden {
		t.Errorf("a page from elsewhere: %v", err)
	}
	if err := dial(site[:len(site)-1]); err != nil {
		t.Errorf("a page of its own: %v", err)
	}
}
