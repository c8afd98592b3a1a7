package peers_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"

	"github.com/bodokaiser/walve"
	"github.com/coder/websocket"
)

var coderLibrary = coderWith(websocket.CompressionDisabled)

// coderWith compresses by permessage-deflate, or does not. Its threshold is held
// against the first piece of a message, not the whole.
func coderWith(mode websocket.CompressionMode) library {
	return library{name: "coder", dial: func(ctx context.Context, url string, config *tls.Config) (end, error) {
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
			HTTPClient:      &http.Client{Transport: &http.Transport{TLSClientConfig: config}},
			CompressionMode: mode, CompressionThreshold: 1,
		})
		if err != nil {
			return nil, err
		}
		return newCoderEnd(c), nil
	},
		upgrade: func(w http.ResponseWriter, r *http.Request) (end, error) {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
			if err != nil {
				return nil, err
			}
			return newCoderEnd(c), nil
		}}
}

type coderEnd struct {
	*websocket.Conn
	read chan event
}

func newCoderEnd(c *websocket.Conn) coderEnd {
	c.SetReadLimit(-1)
	e := coderEnd{c, make(chan event, 100)}
	go e.readAll()
	return e
}

func (e coderEnd) readAll() {
	for {
		op, p, err := e.Read(context.Background())
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			err = &walve.CloseError{Code: walve.StatusCode(closed.Code), Reason: closed.Reason}
		}
		e.read <- event{walve.Opcode(op), p, err} // its MessageTypes are the opcodes
		if err != nil {
			return
		}
	}
}

func (e coderEnd) events() <-chan event { return e.read }

func (e coderEnd) send(op walve.Opcode, p []byte) error {
	return e.Write(context.Background(), websocket.MessageType(op), p)
}

// sendFragments: a Writer makes a frame of every Write, and an empty one at Close.
func (e coderEnd) sendFragments(op walve.Opcode, parts ...[]byte) error {
	w, err := e.Writer(context.Background(), websocket.MessageType(op))
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return w.Close()
}

func (e coderEnd) ping(ctx context.Context) error { return e.Ping(ctx) }

func (e coderEnd) close(code walve.StatusCode, reason string) error {
	err := e.Close(websocket.StatusCode(code), reason)
	if errors.Is(err, io.EOF) || errors.As(err, new(websocket.CloseError)) {
		return nil // the peer was quicker
	}
	return err
}

func (e coderEnd) release() { e.CloseNow() }
