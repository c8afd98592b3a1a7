package walve

// Deflate is what an opening handshake has agreed on about compression.
type Deflate struct {
	SendBits, ReceiveBits         int
	SendTakeover, ReceiveTakeover bool
	Threshold                     int
	Level                         int // 0: 1
}

// agreement is what a Conn is given.
func (d *Deflate) agreement() *deflateAgreement {
	return &deflateAgreement{
		send:      deflateContext{bits: d.SendBits, takeover: d.SendTakeover},
		receive:   deflateContext{bits: d.ReceiveBits, takeover: d.ReceiveTakeover},
		level:     max(d.Level, 1),
		threshold: d.Threshold,
	}
}

func exportDeflate(a *deflateAgreement) *Deflate {
	if a == nil {
		return nil
	}
	return &Deflate{a.send.bits, a.receive.bits, a.send.takeover, a.receive.takeover, 0, 0}
}

// AcceptDeflate returns the server's answer to a client's extensions, and what
// is agreed on then.
func AcceptDeflate(c *Compression, values ...string) (answer string, agreed *Deflate) {
	offers, _ := parseExtensions(values)
	a, e := acceptDeflate(c, offers)
	if a == nil {
		return "", nil
	}
	return string(appendExtensions(nil, e)), exportDeflate(a)
}

// OfferDeflate returns what the client asks for.
func OfferDeflate(c *Compression) string {
	return string(appendExtensions(nil, offerDeflate(c)))
}

// ConfirmDeflate returns what a client makes of the server's answer, or nil if
// that fails the handshake.
func ConfirmDeflate(c *Compression, answer string) *Deflate {
	list, _ := parseExtensions([]string{answer})
	a, ok := confirmDeflate(c, list[0])
	if !ok {
		return nil
	}
	return exportDeflate(a)
}

// CompressionChoices returns level and threshold with zero values resolved.
func CompressionChoices(c *Compression) (level, threshold int) {
	a := c.agreement()
	return a.level, a.threshold
}
