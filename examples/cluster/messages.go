package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"strconv"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/page"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Messages are in a stream of JetStream, which numbers them. A page that comes
// back names the last number that it has, and gets all behind it. What it sends
// has an ID, by which JetStream knows what was sent twice, and is sent until it
// is acknowledged. So nothing is lost, and nothing is there twice.
const (
	streamName = "WALVE_CLUSTER"
	subject    = "walve.cluster"
	kept       = 10_000 // messages in the stream
)

// toPage is what a worker sends: one of its parts.
type toPage struct {
	Worker int    `json:"worker,omitempty"` // process ID of who serves this; comes first
	Host   string `json:"host,omitempty"`
	Stream string `json:"stream,omitempty"` // whose numbers the messages have
	Seq    uint64 `json:"seq,omitempty"`    // of a message
	Text   string `json:"text,omitempty"`
	Ack    string `json:"ack,omitempty"` // ID of a message that is in the stream
}

// fromPage is a message that a page sends.
type fromPage struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

func hello() toPage {
	host, _ := os.Hostname()
	return toPage{Worker: os.Getpid(), Host: host}
}

func newToken() string { return rand.Text() }

// createStream makes the stream, if it is not there.
func createStream(ctx context.Context, natsURL string) error {
	nc, err := nats.Connect(natsURL)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{subject}, MaxMsgs: kept, MaxMsgSize: 8 << 10, Duplicates: 10 * time.Minute,
	})
	return err
}

// exchange passes on messages in both directions until c ends.
func exchange(ctx context.Context, c *walve.Conn, js jetstream.JetStream) {
	last, err := strconv.ParseUint(c.Request().FormValue("last"), 10, 64)
	if err != nil {
		c.CloseWithStatus(walve.StatusPolicyViolation, "last: not a number")
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		if send(ctx, c, js, last) != nil && ctx.Err() == nil {
			c.CloseWithStatus(walve.StatusInternalError, "no messages")
		}
	}()
	for {
		_, msg, err := c.ReadMessage()
		if err != nil {
			return
		}
		var m fromPage
		if json.Unmarshal(msg, &m) != nil || m.ID == "" || len(m.ID) > 64 || m.Text == "" {
			c.CloseWithStatus(walve.StatusPolicyViolation, "no message")
			return
		}
		text, _ := json.Marshal(m.Text)
		if _, err := js.Publish(ctx, subject, text, jetstream.WithMsgID(m.ID)); err != nil {
			return // without Ack the page sends it again, elsewhere
		}
		if page.WriteJSON(c, toPage{Ack: m.ID}) != nil {
			return
		}
	}
}

// send sends what is in the stream behind last, and then what comes. It takes
// from the stream no more than the page takes, so a slow page costs nothing.
func send(ctx context.Context, c *walve.Conn, js jetstream.JetStream, last uint64) error {
	stream, err := js.Stream(ctx, streamName)
	if err != nil {
		return err
	}
	first := hello()
	first.Stream = strconv.FormatInt(stream.CachedInfo().Created.UnixNano(), 36)
	if c.Request().FormValue("stream") != first.Stream {
		last = 0 // the numbers are those of another one
	}
	if err := page.WriteJSON(c, first); err != nil {
		return err
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: last + 1,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(64))
	if err != nil {
		return err
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		m := toPage{Seq: meta.Sequence.Stream}
		if err := json.Unmarshal(msg.Data(), &m.Text); err != nil {
			return err
		}
		if err := page.WriteJSON(c, m); err != nil {
			return err
		}
	}
}
