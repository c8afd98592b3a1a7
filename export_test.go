package walve

import (
	"net"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

// TestConfig is what a test decides of an opening handshake.
type TestConfig struct {
	Client         bool
	HalfClose      bool
	MaxMessageSize int64 // 0: 16 MiB
	KeepAlive      time.Duration
	Buffered       []byte
	Deflate        *Deflate
}

// NewTestConn returns a Conn on nc as if its handshake were over.
func NewTestConn(nc net.Conn, cfg TestConfig) *Conn {
	hs := &handshake{terms: terms{
		client:         cfg.Client,
		halfClose:      cfg.HalfClose,
		maxMessageSize: cfg.MaxMessageSize,
		keepAlive:      cfg.KeepAlive,
	}}
	if d := cfg.Deflate; d != nil {
		hs.deflate = d.agreement()
	}
	if hs.maxMessageSize == 0 {
		hs.maxMessageSize = 16 << 20
	}
	return newConn(stream.New(nc), hs, cfg.Buffered)
}

const (
	MaxControl = maxControl
	PieceSize  = largeUnit
	MaxWritev  = maxWritev
)
