package peers_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/bodokaiser/walve"
)

// testOrigin has a page of one server connect to another one.
func (b *browser) testOrigin(t *testing.T) {
	home := upgradeSite(t, walve.Upgrader{}, nil)
	t.Run("refused", func(t *testing.T) {
		s := upgradeSite(t, walve.Upgrader{}, nil)
		saw := begin[seen](t, b.open(t, home.origin), "visit", s.url(), visit{})
		var refused *walve.HandshakeError
		if u := s.next(t); !errors.As(u.err, &refused) || refused.StatusCode != http.StatusForbidden {
			t.Errorf("Upgrade: %v", u.err)
		}
		wantSeen(t, saw(), seen{Failed: true, Code: walve.StatusAbnormalClosure})
	})
	t.Run("allowed", func(t *testing.T) {
		s := upgradeSite(t, walve.Upgrader{CheckOrigin: func(r *http.Request) bool {
			return r.Header.Get("Origin") == home.origin
		}}, nil)
		saw := begin[seen](t, b.open(t, home.origin), "visit", s.url(), visit{})
		s.accept(t).CloseWithStatus(4000, "welcome")
		wantSeen(t, saw(), seen{Opened: true, Code: 4000, Reason: "welcome", WasClean: true})
	})
}

func (b *browser) testSubprotocol(t *testing.T) {
	for _, c := range []struct {
		name           string
		server, client []string
		want           string
	}{
		{"the server prefers", []string{"v2", "v1"}, []string{"v1", "v2"}, "v2"},
		{"one in common", []string{"v2", "v1"}, []string{"v3", "v1"}, "v1"},
		{"none offered", []string{"v2"}, nil, ""},
		{"none in common", []string{"v2"}, []string{"v1"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := upgradeSite(t, walve.Upgrader{Subprotocols: c.server}, nil)
			saw := b.visit(t, s, visit{Protocols: c.client})
			conn := s.accept(t)
			if got := conn.Subprotocol(); got != c.want {
				t.Errorf("Subprotocol: %q, want %q", got, c.want)
			}
			conn.Close()
			want := seen{Opened: true, Protocol: c.want, Code: walve.StatusNormalClosure, WasClean: true}
			if c.client != nil && c.want == "" {
				// A page that asks for one does without none (RFC 6455, 4.1,
				// leaves that to the client).
				want = seen{Failed: true, Code: walve.StatusAbnormalClosure}
			}
			wantSeen(t, saw(), want)
		})
	}
}
