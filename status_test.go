package walve_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/bodokaiser/walve"
)

// RFC 6455 section 7.4 and the IANA registry, all codes.
func TestStatusSendable(t *testing.T) {
	for code := 0; code <= 0xFFFF; code++ {
		want := code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
		switch code {
		case 1004, 1005, 1006:
			want = false
		}
		if got := walve.StatusCode(code).Sendable(); got != want {
			t.Errorf("%d: %t", code, got)
		}
	}
}

func TestStatusString(t *testing.T) {
	for code, want := range map[walve.StatusCode]string{
		walve.StatusNormalClosure:           "1000 normal closure",
		walve.StatusGoingAway:               "1001 going away",
		walve.StatusProtocolError:           "1002 protocol error",
		walve.StatusUnsupportedData:         "1003 unsupported data",
		1004:                                "1004",
		walve.StatusNoStatusReceived:        "1005 no status received",
		walve.StatusAbnormalClosure:         "1006 abnormal closure",
		walve.StatusInvalidFramePayloadData: "1007 invalid frame payload data",
		walve.StatusPolicyViolation:         "1008 policy violation",
		walve.StatusMessageTooBig:           "1009 message too big",
		walve.StatusMandatoryExtension:      "1010 mandatory extension",
		walve.StatusInternalError:           "1011 internal error",
		walve.StatusServiceRestart:          "1012 service restart",
		walve.StatusTryAgainLater:           "1013 try again later",
		walve.StatusBadGateway:              "1014 bad gateway",
		walve.StatusTLSHandshake:            "1015 TLS handshake",
		0:                                   "0",
		4321:                                "4321",
	} {
		if got := code.String(); got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{&walve.CloseError{Code: walve.StatusGoingAway}, "websocket: closed by peer: 1001 going away"},
		{&walve.CloseError{Code: 4000, Reason: "no\nsuch"}, `websocket: closed by peer: 4000: "no\nsuch"`},
		{&walve.ProtocolError{Code: walve.StatusProtocolError, Reason: "reserved opcode"}, "websocket: 1002 protocol error: reserved opcode"},
		{&walve.ProtocolError{Code: walve.StatusMessageTooBig}, "websocket: 1009 message too big"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("Error = %q, want %q", got, test.want)
		}
	}
	wrapped := fmt.Errorf("wrapped: %w", &walve.CloseError{Code: 4001})
	if ce := (*walve.CloseError)(nil); !errors.As(wrapped, &ce) || ce.Code != 4001 {
		t.Errorf("errors.As found %v", ce)
	}
}
