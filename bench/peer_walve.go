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
	Usage:  "Upgrade, or Listener with TLSConfig, and Dialer; Read and Write, or ReadMessage and WriteMessage; no options but Compression",

	Compresses: true,
	Serve: func(s *Server, ln net.Listener) error {
		if !s.Work.TLS {
			return serveWalve(s, ln, s.Work.messages(), s.Work.walveCompression())
		}
		l := &walve.Listener{TLSConfig: s.TLS}
		if err := l.Serve(ln); err != nil {
			return err
		}
		return acceptLoop(l, func(c net.Conn) { s.Here(walveLink(c.(*walve.Conn), s.Work.API == Messages)) })
	},
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		return dialWalve(ctx, c, c.Work.messages(), c.Work.walveCompression())
	},
}

// walvePlainPeer shows what compression costs.
var walvePlainPeer = &Peer{
	Name:   "walve-plain",
	Module: "github.com/bodokaiser/walve",
	Usage:  "walve without Compression, where others compress",
	Only:   func(w Work) bool { return w.Compression != Uncompressed },

	Compresses: true,
	Serve:      func(s *Server, ln net.Listener) error { return serveWalve(s, ln, s.Work.messages(), nil) },
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		return dialWalve(ctx, c, c.Work.messages(), nil)
	},
}

// messages reports whether the message calls are what w asks for. Those that
// wait with compression are sent messages that no small buffer takes at once.
func (w Work) messages() bool {
	return w.API == Messages || w.Kind == Idle && w.Compression != Uncompressed
}

func (w Work) walveCompression() *walve.Compression {
	if w.Compression == Uncompressed {
		return nil
	}
	plain := w.Compression == NoTakeover
	return &walve.Compression{NoSendTakeover: plain, NoReceiveTakeover: plain}
}

// walveMessagesPeer shows what the message calls cost in an echo.
var walveMessagesPeer = &Peer{
	Name:   "walve-messages",
	Module: "github.com/bodokaiser/walve",
	Usage:  "walve through ReadMessage and WriteMessage",
	Only:   func(w Work) bool { return w.Kind == Echo && w.API == Any && !w.TLS },
	Serve:  func(s *Server, ln net.Listener) error { return serveWalve(s, ln, true, nil) },
	Dial:   func(ctx context.Context, c *Client) (Link, error) { return dialWalve(ctx, c, true, nil) },
}

// walveHTTPSPeer shows what it costs that TLS was set up by net/http.
var walveHTTPSPeer = &Peer{
	Name:   "walve-https",
	Module: "github.com/bodokaiser/walve",
	Usage:  "Upgrade in an https server of net/http's",
	Only:   func(w Work) bool { return w.TLS && w.Role == AsServer },
	Serve:  func(s *Server, ln net.Listener) error { return serveWalve(s, ln, false, nil) },
}

func serveWalve(s *Server, ln net.Listener, messages bool, compression *walve.Compression) error {
	u := walve.Upgrader{Compression: compression}
	return serveHTTP(s, ln, func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r)
		if err != nil {
			s.fail("upgrade", err)
			return
		}
		s.Go(walveLink(c, messages))
	})
}

func dialWalve(ctx context.Context, c *Client, messages bool, compression *walve.Compression) (Link, error) {
	d := walve.Dialer{TLSConfig: c.TLS, Compression: compression}
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
