package sim

import (
	"slices"

	"github.com/nexero-vr/nexero/internal/event"
)

// Plans returns the plans that tours are made of. The caller owns them.
func Plans() []Plan {
	return []Plan{flat(), house(), penthouse()}
}

// draft puts a plan together from names.
type draft struct{ plan Plan }

func (d *draft) room(zone string, level int16, x0, y0, x1, y1, interest float64) {
	d.plan.Rooms = append(d.plan.Rooms, Room{Zone: zone, Level: level, Min: Spot{x0, y0}, Max: Spot{x1, y1}, Interest: interest})
}

// number finds a room; a name that is none is a mistake in a table below, which
// the first test finds.
func (d *draft) number(zone string) int {
	return slices.IndexFunc(d.plan.Rooms, func(r Room) bool { return r.Zone == zone })
}

func (d *draft) door(a, b string, x, y float64) {
	d.plan.Links = append(d.plan.Links, Link{d.number(a), d.number(b), Spot{x, y}, Spot{x, y}})
}

func (d *draft) stairs(lower, upper string, foot, head Spot) {
	d.plan.Links = append(d.plan.Links, Link{d.number(lower), d.number(upper), foot, head})
}

// furnish puts things into a room; their coordinates count from its corner.
func (d *draft) furnish(zone string, things ...Thing) {
	room := d.number(zone)
	for _, thing := range things {
		thing.Room = room
		thing.At = d.plan.Rooms[room].Min.plus(thing.At.X, thing.At.Y)
		d.plan.Things = append(d.plan.Things, thing)
	}
}

func thing(name string, x, y, height, radius, interest float64, touches ...Touch) Thing {
	return Thing{Name: name, At: Spot{x, y}, Height: height, Radius: radius, Interest: interest, Touches: touches}
}

func do(action string) Touch      { return Touch{event.Interaction, action} }
func choose(feature string) Touch { return Touch{event.FeatureSelect, feature} }
func play() Touch                 { return Touch{event.MediaPlay, ""} }
func open() Touch                 { return Touch{event.HotspotOpen, ""} }
func call(action string) Touch    { return Touch{event.CTA, action} }

func flat() Plan {
	d := draft{Plan{
		PropertyID: "maple-court-12", Name: "Maple Court 12", TimeZone: "Europe/Berlin",
		OriginX: -520, OriginY: 1300, EntryAt: Spot{470, 70},
	}}
	d.room("hall", 0, 400, 0, 540, 840, 0.3)
	d.room("living_room", 0, 540, 0, 1040, 460, 2)
	d.room("kitchen", 0, 540, 460, 1040, 840, 1.8)
	d.room("bedroom", 0, 0, 0, 400, 380, 1.2)
	d.room("bathroom", 0, 0, 380, 400, 590, 0.8)
	d.room("study", 0, 0, 590, 400, 840, 0.7)
	d.room("balcony", 0, 1040, 60, 1200, 400, 1.4)
	d.door("hall", "living_room", 540, 230)
	d.door("hall", "kitchen", 540, 650)
	d.door("hall", "bedroom", 400, 190)
	d.door("hall", "bathroom", 400, 480)
	d.door("hall", "study", 400, 720)
	d.door("living_room", "kitchen", 790, 460)
	d.door("living_room", "balcony", 1040, 230)
	d.furnishFlat()
	return d.plan
}

func (d *draft) furnishFlat() {
	d.furnish("hall",
		thing("coat_rack", 10, 330, 150, 0, 0.3),
		thing("hall_mirror", 130, 420, 150, 0, 0.8),
		thing("price_board", 130, 40, 140, 0, 0.9, call("price_view"), call("brochure")))
	d.furnish("living_room",
		thing("sofa_grey", 250, 90, 45, 80, 1.4, do("sit"), choose("sofa_fabric")),
		thing("tv_wall", 250, 450, 120, 0, 1.2, play()),
		thing("coffee_table", 250, 210, 40, 45, 0.7, do("touch")),
		thing("bookshelf", 30, 380, 140, 30, 0.6, do("pick_up")),
		thing("window_park", 495, 380, 150, 0, 1.6),
		thing("floor_oak", 380, 300, 0, 0, 0.5, choose("floor")))
	d.furnish("kitchen",
		thing("kitchen_island", 280, 200, 90, 75, 1.8, do("touch"), choose("worktop")),
		thing("oven", 460, 60, 80, 35, 1, do("open"), do("close")),
		thing("fridge", 460, 320, 120, 40, 0.8, do("open")),
		thing("küchenzeile", 250, 365, 100, 0, 1.1, choose("fronts")),
		thing("tap", 380, 360, 100, 0, 0.4, do("turn_on"), do("turn_off")))
	d.furnish("bedroom",
		thing("bed_double", 130, 120, 50, 95, 1.4, do("sit")),
		thing("wardrobe_oak", 370, 330, 110, 25, 0.9, do("open"), do("close")),
		thing("painting_sea", 320, 5, 150, 0, 0.8),
		thing("window_yard", 5, 280, 150, 0, 0.7))
	d.furnish("bathroom",
		thing("shower", 60, 60, 120, 45, 1, do("turn_on")),
		thing("basin", 200, 30, 90, 25, 0.7, do("turn_on"), choose("fittings")),
		thing("bathroom_mirror", 200, 5, 150, 0, 0.7))
	d.furnish("study",
		thing("desk", 65, 70, 75, 50, 1, do("sit")),
		thing("desk_lamp", 40, 50, 100, 0, 0.4, do("toggle")),
		thing("window_street", 5, 200, 150, 0, 0.7))
	d.furnish("balcony",
		thing("balcony_view", 155, 170, 160, 0, 2.4, open()),
		thing("lounge_chair", 80, 290, 45, 35, 0.8, do("sit")),
		thing("booking_stand", 90, 30, 110, 20, 0.5, call("book"), call("favourite")))
}

func house() Plan {
	d := draft{Plan{
		PropertyID: "hillside-house", Name: "Hillside House", TimeZone: "America/New_York",
		OriginX: 2400, OriginY: -800, EntryAt: Spot{220, 60},
	}}
	d.room("entrance_hall", 0, 0, 0, 300, 700, 0.3)
	d.room("living_room", 0, 300, 0, 1100, 420, 2)
	d.room("kitchen", 0, 300, 420, 700, 800, 1.6)
	d.room("dining_room", 0, 700, 420, 1100, 800, 1.1)
	d.room("guest_wc", 0, 0, 700, 300, 880, 0.4)
	d.room("garden", 0, 300, 800, 1100, 1400, 1.7)
	d.room("landing", 1, 0, 0, 300, 700, 0.2)
	d.room("main_bedroom", 1, 300, 0, 800, 400, 1.5)
	d.room("bathroom", 1, 800, 0, 1100, 400, 1)
	d.room("children_room", 1, 300, 400, 700, 800, 1)
	d.room("office", 1, 700, 400, 1100, 800, 0.8)
	d.door("entrance_hall", "living_room", 300, 200)
	d.door("entrance_hall", "kitchen", 300, 560)
	d.door("entrance_hall", "guest_wc", 200, 700)
	d.door("living_room", "dining_room", 900, 420)
	d.door("kitchen", "dining_room", 700, 620)
	d.door("dining_room", "garden", 900, 800)
	d.stairs("entrance_hall", "landing", Spot{70, 250}, Spot{70, 610})
	d.door("landing", "main_bedroom", 300, 200)
	d.door("landing", "children_room", 300, 550)
	d.door("main_bedroom", "bathroom", 800, 200)
	d.door("children_room", "office", 700, 600)
	d.furnishHouse()
	return d.plan
}

func (d *draft) furnishHouse() {
	d.furnish("entrance_hall",
		thing("console_table", 270, 400, 80, 20, 0.5, do("touch")),
		thing("staircase", 70, 430, 120, 0, 1),
		thing("price_board", 295, 90, 140, 0, 0.8, call("price_view"), call("brochure")))
	d.furnish("living_room",
		thing("fireplace", 790, 200, 60, 0, 1.8, do("light"), do("put_out")),
		thing("sofa_corner", 450, 90, 45, 90, 1.3, do("sit"), choose("sofa_fabric")),
		thing("piano", 180, 330, 90, 65, 1.2, do("play")),
		thing("tv_set", 450, 410, 110, 0, 0.9, play()),
		thing("window_hills", 300, 5, 150, 0, 1.5))
	d.furnish("kitchen",
		thing("kitchen_island", 200, 190, 90, 70, 1.7, do("touch"), choose("worktop")),
		thing("range_cooker", 370, 60, 80, 35, 1, do("open"), do("close")),
		thing("pantry_cupboard", 60, 350, 110, 30, 0.7, do("open")))
	d.furnish("dining_room",
		thing("oak_table", 200, 150, 75, 80, 1.2, do("sit"), choose("table_wood")),
		thing("pendant_lamp", 200, 150, 190, 0, 0.7, do("toggle")),
		thing("glass_doors", 330, 375, 130, 0, 0.9))
	d.furnish("guest_wc", thing("basin_small", 40, 140, 85, 20, 0.4, do("turn_on")))
	d.furnish("garden",
		thing("old_tree", 150, 430, 220, 60, 1.5),
		thing("pool", 600, 400, 0, 140, 2.2, open()),
		thing("barbecue", 720, 80, 90, 35, 0.7, do("open")),
		thing("booking_stand", 60, 60, 110, 20, 0.5, call("book"), call("call"), call("favourite")))
	d.furnish("landing", thing("skylight", 200, 350, 260, 0, 0.7))
	d.furnish("main_bedroom",
		thing("bed_king", 250, 110, 50, 105, 1.4, do("sit")),
		thing("walk_in_wardrobe", 100, 395, 120, 0, 1, do("open"), choose("wardrobe")),
		thing("window_garden", 400, 5, 150, 0, 1))
	d.furnish("bathroom",
		thing("bath_tub", 230, 110, 50, 60, 1.3, do("turn_on")),
		thing("double_basin", 150, 370, 90, 25, 0.8, choose("fittings")))
	d.furnish("children_room",
		thing("bunk_bed", 80, 330, 110, 55, 1.1, do("climb")),
		thing("toy_train", 250, 120, 10, 35, 1, do("push"), do("pick_up")),
		thing("world_map", 200, 395, 150, 0, 0.6))
	d.furnish("office",
		thing("standing_desk", 320, 200, 100, 45, 1, do("raise"), do("lower")),
		thing("shelf_wall", 200, 395, 140, 0, 0.7),
		thing("window_valley", 395, 300, 150, 0, 1.1))
}

func penthouse() Plan {
	d := draft{Plan{
		PropertyID: "skyline-penthouse", Name: "Skyline Penthouse", TimeZone: "Asia/Kolkata",
		OriginX: 0, OriginY: 0, EntryAt: Spot{60, 450},
	}}
	d.room("lift_lobby", 0, 0, 300, 250, 600, 0.3)
	d.room("great_room", 0, 250, 0, 1250, 600, 2.2)
	d.room("kitchen_bar", 0, 250, 600, 750, 1000, 1.4)
	d.room("master_suite", 0, 750, 600, 1250, 1000, 1.5)
	d.room("spa", 0, 0, 600, 250, 1000, 1.2)
	d.room("dressing_room", 0, 1250, 600, 1550, 1000, 0.8)
	d.room("terrace", 0, 1250, 0, 1900, 600, 2)
	d.door("lift_lobby", "great_room", 250, 450)
	d.door("lift_lobby", "spa", 120, 600)
	d.door("great_room", "kitchen_bar", 500, 600)
	d.door("great_room", "master_suite", 1000, 600)
	d.door("kitchen_bar", "spa", 250, 800)
	d.door("master_suite", "dressing_room", 1250, 800)
	d.door("great_room", "terrace", 1250, 300)
	d.door("dressing_room", "terrace", 1400, 600)
	d.furnishPenthouse()
	return d.plan
}

func (d *draft) furnishPenthouse() {
	d.furnish("lift_lobby",
		thing("sculpture", 190, 50, 120, 30, 1, do("touch")),
		thing("price_board", 5, 60, 140, 0, 0.8, call("price_view"), call("brochure")))
	d.furnish("great_room",
		thing("panorama_window", 500, 5, 160, 0, 2.6, open()),
		thing("sofa_landscape", 480, 220, 45, 110, 1.4, do("sit"), choose("sofa_fabric")),
		thing("cinema_screen", 250, 595, 140, 0, 1.3, play()),
		thing("wine_wall", 800, 595, 130, 0, 1.2, do("open"), do("pick_up")),
		thing("chandelier", 500, 300, 280, 0, 1, do("toggle")),
		thing("grand_piano", 850, 150, 90, 80, 1.1, do("play")))
	d.furnish("kitchen_bar",
		thing("bar_counter", 250, 150, 100, 90, 1.5, do("touch"), choose("worktop")),
		thing("espresso_machine", 420, 370, 110, 0, 1, do("turn_on")),
		thing("hidden_fridge", 250, 395, 110, 0, 0.7, do("open"), do("close")))
	d.furnish("master_suite",
		thing("bed_canopy", 250, 270, 60, 115, 1.5, do("sit")),
		thing("window_skyline", 420, 395, 150, 0, 1.5),
		thing("art_triptych", 5, 200, 150, 0, 0.8))
	d.furnish("spa",
		thing("sauna", 60, 340, 110, 45, 1.2, do("open")),
		thing("rain_shower", 200, 330, 180, 40, 1, do("turn_on"), do("turn_off")),
		thing("marble_basin", 30, 80, 90, 20, 0.7, choose("marble")))
	d.furnish("dressing_room",
		thing("wardrobe_glass", 290, 250, 120, 0, 1, do("open"), choose("wardrobe")),
		thing("mirror_tall", 150, 395, 140, 0, 0.8))
	d.furnish("terrace",
		thing("skyline_view", 645, 300, 160, 0, 2.6, open()),
		thing("hot_tub", 480, 470, 50, 95, 1.6, do("turn_on")),
		thing("fire_pit", 300, 130, 40, 55, 1.1, do("light")),
		thing("booking_stand", 60, 120, 110, 20, 0.5, call("book"), call("call"), call("favourite")))
}
