package walve

// The wire layer's inside, for the tests of package walve_test.

var (
	ParseHeader = parseHeader
	MaskCopy    = maskCopy
	RotateKey   = rotateKey
	NewMaskKey  = newMaskKey

	ErrInvalidWrite = errInvalidWrite
)

const (
	FrameBufferSize = frameBufferSize
	MaxPooledFrame  = maxPooledFrame
)

type UTF8Checker struct{ u utf8Checker }

func (c *UTF8Checker) Valid(p []byte) bool { return c.u.valid(p) }
func (c *UTF8Checker) Complete() bool      { return c.u.complete() }

func (c StatusCode) Sendable() bool { return c.sendable() }

// Parse is parseHeader without the copy of the Header.
func (h *Header) Parse(b []byte) (int, error) { return h.parse(b) }
