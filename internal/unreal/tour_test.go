package unreal

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// tourBatch invents the body of one batch as a headset sends it: a head that
// wanders through rooms, sampled many times a second, and now and then a look
// at something. The same number of events gives the same bytes.
func tourBatch(events int) string {
	random := rand.New(rand.NewPCG(uint64(events), 1))
	session := fmt.Sprintf("%016X%016X", random.Uint64(), random.Uint64())
	at := int64(1_760_000_000_000) + int64(random.IntN(1_000_000_000))
	start := at
	x, y, z := 300*random.Float64(), -200*random.Float64(), 160+20*random.Float64()
	pitch, yaw, roll := 0.0, 360*random.Float64()-180, 0.0
	targets := []string{"kitchen_island", "balcony_door", "sofa_corner", "wardrobe_oak", "city_view"}
	var b strings.Builder
	for i := range events {
		if i > 0 {
			b.WriteByte(',')
		}
		if i%66 == 65 {
			fmt.Fprintf(&b, `{"event_type":"gaze","timestamp":%s,"gaze_target":"%s","dwell_time_ms":%d}`,
				seconds(at-500), targets[random.IntN(len(targets))], 100+random.IntN(2000))
			continue
		}
		at += 13 + int64(random.IntN(3))
		x, y, z = x+random.Float64()*2-1, y+random.Float64()*2-1, z+random.Float64()*0.4-0.2
		pitch, yaw, roll = pitch+random.Float64()-0.5, yaw+random.Float64()*2-1, roll+random.Float64()*0.2-0.1
		fmt.Fprintf(&b, `{"event_type":"pose","timestamp":%s,"position":{"x":%.2f,"y":%.2f,"z":%.2f},"rotation":{"pitch":%.3f,"yaw":%.3f,"roll":%.3f}}`,
			seconds(at), x, y, z, pitch, yaw, roll)
	}
	return fmt.Sprintf(`{"session_id":"%s","sent_at":%s,"events":[%s]}`, session, seconds(max(at, start)), b.String())
}

func seconds(millis int64) string {
	return fmt.Sprintf("%d.%03d", millis/1000, millis%1000)
}
