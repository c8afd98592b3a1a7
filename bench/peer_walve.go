package main

import (
	"context"
	"net"
	"net/http"

	"github.com/bodokaiser/walve"
)

var walvePeer = &Peer{
	Name:   "walve",
	Module: "github.com/bodokaiser/walve",
	Usage:  "Upgrade, or Listener with TLSConfig, and Dialer; Read and Write, or ReadMessage and WriteMessage; no options",
	Serve: func(s *Server, ln net.Listener) error {
		if !s.Work.TLS {
			return serveWalve(s, ln, s.Work.API == Messages)
		}
		l := &walve.Listener{TLSConfig: s.TLS}
		if err := l.Serve(ln); err != nil {
			return err
		}
		return acceptLoop(l, func(c net.Conn) { s.Here(walveLink(c.(*walve.Conn), s.Work.API == Messages)) })
	},
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		return dialWalve(ctx, c, c.Work.API == Messages)
	},
}

// walveMessagesPeer shows what the message calls cost in an echo.
var walveMessagesPeer = &Peer{
	Name:   "walve-messages",
	Module: "github.com/bodokaiser/walve",
	Usage:  "walve through ReadMessage and WriteMessage",
	Only:   func(w Work) bool { return w.Kind == Echo && w.API == Any && !w.TLS },
	Serve:  func(s *Server, ln net.Listener) error { return serveWalve(s, ln, true) },
	Dial:   func(ctx context.Context, c *Client) (Link, error) { return dialWalve(ctx, c, true) },
}

// walveHTTPSPeer shows what it costs that TLS was set up by net/http.
var walveHTTPSPeer = &Peer{
	Name:   "walve-https",
	Module: "github.com/bodokaiser/walve",
	Usage:  "Upgrade in an https server of net/http's",
	Only:   func(w Work) bool { return w.TLS && w.Role == AsServer },
	Serve:  func(s *Server, ln net.Listener) error { return serveWalve(s, ln, false) },
}

func serveWalve(s *Server, ln net.Listener, messages bool) error {
	return serveHTTP(s, ln, func(w http.ResponseWriter, r *http.Request) {
		c, err := walve.Upgrade(w, r)
		if err != nil {
			s.fail("upgrade", err)
			return
		}
		s.Go(walveLink(c, messages))
	})
}

func dialWalve(ctx context.Context, c *Client, messages bool) (Link, error) {
	d := walve.Dialer{TLSConfig: c.TLS}
	conn, err := d.DialURL(ctx, c.url())
	if err != nil {
		return Link{}, err
	}
	return walveLink(conn, messages), nil
}

func walveLink(c *walve.Conn, messages bool) Link {
	if messages {
		return Link{Message: walveMessages{c}}
	}
	return Link{Stream: c}
}

type walveMessages struct{ *walve.Conn }

func (m walveMessages) ReadMessage() ([]byte, error) {
	_, p, err := m.Conn.ReadMessage()
	return p, err
}

func (m walveMessages) WriteMessage(p []byte) error { return m.Conn.WriteMessage(walve.OpBinary, p) }
