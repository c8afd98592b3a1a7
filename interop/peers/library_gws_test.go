package peers_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"

	"github.com/bodokaiser/walve"
	"github.com/lxzan/gws"
)

var gwsLibrary = gwsWith(gws.PermessageDeflate{})

func gwsWith(pd gws.PermessageDeflate) library {
	return library{name: "gws", dial: func(ctx context.Context, url string, config *tls.Config) (end, error) {
		e := newGwsEnd()
		c, _, err := gws.NewClient(e, &gws.ClientOption{Addr: url, TlsConfig: config, ReadMaxPayloadSize: 64 << 20, CheckUtf8Enabled: true, PermessageDeflate: pd})
		if err != nil {
			return nil, err
		}
		return e.start(c), nil
	},
		upgrade: func(w http.ResponseWriter, r *http.Request) (end, error) {
			e := newGwsEnd()
			c, err := gws.NewUpgrader(e, &gws.ServerOption{ReadMaxPayloadSize: 64 << 20, CheckUtf8Enabled: true, PermessageDeflate: pd}).Upgrade(w, r)
			if err != nil {
				return nil, err
			}
			return e.start(c), nil
		},
		checksText: true}
}

// A gwsEnd is the gws.Event of its Conn.
type gwsEnd struct {
	gws.BuiltinEventHandler
	c     *gws.Conn
	read  chan event
	pongs chan struct{}
}

func newGwsEnd() *gwsEnd {
	return &gwsEnd{read: make(chan event, 100), pongs: make(chan struct{}, 1)}
}

func (e *gwsEnd) start(c *gws.Conn) *gwsEnd {
	e.c = c
	go c.ReadLoop()
	return e
}

func (e *gwsEnd) OnPing(c *gws.Conn, p []byte) { c.WritePong(p) }

func (e *gwsEnd) OnPong(*gws.Conn, []byte) { e.pongs <- struct{}{} }

func (e *gwsEnd) OnMessage(_ *gws.Conn, m *gws.Message) {
	e.read <- event{walve.Opcode(m.Opcode), bytes.Clone(m.Bytes()), nil}
	m.Close()
}

func (e *gwsEnd) OnClose(_ *gws.Conn, err error) {
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		err = &walve.CloseError{Code: walve.StatusCode(closed.Code), Reason: string(closed.Reason)}
	}
	e.read <- event{err: err}
}

func (e *gwsEnd) events() <-chan event { return e.read }

func (e *gwsEnd) send(op walve.Opcode, p []byte) error {
	return e.c.WriteMessage(gws.Opcode(op), p)
}

// sendFragments: gws cuts only what WriteFile reads, at 128 KiB.
func (e *gwsEnd) sendFragments(op walve.Opcode, parts ...[]byte) error {
	var all []io.Reader
	for _, p := range parts {
		all = append(all, bytes.NewReader(p))
	}
	return e.c.WriteFile(gws.Opcode(op), io.MultiReader(all...))
}

func (e *gwsEnd) ping(ctx context.Context) error {
	if err := e.c.WritePing([]byte("are you there?")); err != nil {
		return err
	}
	select {
	case <-e.pongs:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *gwsEnd) close(code walve.StatusCode, reason string) error {
	return e.c.WriteClose(uint16(code), []byte(reason))
}

func (e *gwsEnd) release() { e.c.NetConn().Close() }
